"""Changes to training images that keep them normal: drawn afresh each time an image is used, the
same for input and target."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from ae_models.config.steps import Step

# Images (N, H, W, C), the amount and a seed (2,) → images of the same shape.
_Change = Callable[[tf.Tensor, float, tf.Tensor], tf.Tensor]


def augmented(
    images: Sequence[tf.Tensor], steps: Sequence[Step], seed: tf.Tensor
) -> list[tf.Tensor]:
    """Applies the same steps and draws to each set of images (N, H, W, C) float32, scaled.

    Args:
      images: sets for the same records.
      steps: in order.
      seed: (2,) int64, determines all draws.
    """
    changed = list(images)
    for index, step in enumerate(steps):
        own = tf.random.experimental.stateless_fold_in(seed, index)
        changed = [CHANGES[step.name](x, step.amount, own) for x in changed]
    return changed


def _drawn(x: tf.Tensor, choices: int, seed: tf.Tensor) -> tf.Tensor:
    """An integer below `choices` for each image, (N, 1, 1, 1)."""
    shape = (tf.shape(x)[0], 1, 1, 1)
    return tf.random.stateless_uniform(shape, seed, 0, choices, tf.int32)


def _flip(x: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors each image left to right with probability one half."""
    del amount
    return tf.where(_drawn(x, 2, seed) == 1, tf.reverse(x, [2]), x)


def _flip_vertical(x: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Turns each image upside down with probability one half."""
    del amount
    return tf.where(_drawn(x, 2, seed) == 1, tf.reverse(x, [1]), x)


def _rotation(x: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Rotates by k · 90°; images that are not square by 0° or 180°, which keep their shape."""
    del amount
    turns = _drawn(x, 4, seed)
    if x.shape[1] != x.shape[2]:
        turns = turns // 2 * 2
    x = tf.where(turns >= 2, tf.reverse(x, [1, 2]), x)
    if x.shape[1] != x.shape[2]:
        return x
    return tf.where(turns % 2 == 1, tf.reverse(tf.transpose(x, (0, 2, 1, 3)), [1]), x)


def _shift(x: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Moves by up to that share of each side, rounded up, repeating the border."""
    for axis in (1, 2):
        side = x.shape[axis]
        most = -int(-amount * side // 1)
        own = tf.random.experimental.stateless_fold_in(seed, axis)
        moved = _drawn(x, 2 * most + 1, own)[:, 0, 0] - most  # (N, 1)
        places = tf.clip_by_value(tf.range(side)[None] + moved, 0, side - 1)  # (N, side)
        x = tf.gather(x, places, axis=axis, batch_dims=1)
    return x


def _brightness(x: tf.Tensor, amount: float, seed: tf.Tensor) -> tf.Tensor:
    """Changes the brightness by up to that amount, in scaled units."""
    shape = (tf.shape(x)[0], 1, 1, 1)
    return x + tf.random.stateless_uniform(shape, seed, -amount, amount, x.dtype)


CHANGES: dict[str, _Change] = {
    "flip": _flip,
    "flip_vertical": _flip_vertical,
    "rotation": _rotation,
    "shift": _shift,
    "brightness": _brightness,
}
