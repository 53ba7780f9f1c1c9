"""Shared by the convolutional and residual networks: stages that halve and double an image.

Halving rounds up, and doubling crops the surplus, so that any size works.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from ae_models.networks.layers import activated, hidden_initializer, linear, units_before

Shape = tuple[int, int, int]
LAST_LAYER = "pixels"  # of the decoder
# An additional block of a stage: feature maps, activation, seeds, name → maps of the same shape.
Block = Callable[[keras.KerasTensor, str, Iterator[int], str], keras.KerasTensor]
_SMALLEST_SIDE = 8
_NARROWEST, _WIDEST = 16, 128


def default_widths(image_shape: Shape) -> tuple[int, ...]:
    """Filters of each stage, with as many stages as reduce the longer side to 8 pixels or fewer."""
    side, widths = max(image_shape[:2]), [_NARROWEST]
    while (side := -(-side // 2)) > _SMALLEST_SIDE:
        widths.append(min(2 * widths[-1], _WIDEST))
    return tuple(widths)


def staged_encoder(
    image_shape: Shape,
    widths: Sequence[int],
    outputs: int,
    *,
    activation: str,
    seeds: Iterator[int],
    block: Block,
) -> keras.Model:
    """(N, H, W, C) → (N, outputs): each stage halves the image, then applies `block`."""
    image = keras.Input(image_shape)
    x = image
    for index, filters in enumerate(widths):
        x = _downsample(x, filters, activation, seeds, f"down_{index}")
        x = block(x, activation, seeds, f"block_{index}")
    x = keras.layers.Flatten()(x)
    return keras.Model(image, linear(x, outputs, seeds), name="encoder")


def staged_decoder(
    image_shape: Shape,
    widths: Sequence[int],
    latent_dim: int,
    *,
    channels: int,
    activation: str,
    seeds: Iterator[int],
    block: Block,
) -> keras.Model:
    """(N, latent_dim) → (N, H, W, channels): each stage applies `block`, then doubles the image."""
    sizes = stage_sizes(image_shape, len(widths))
    latent = keras.Input((latent_dim,))
    x = _smallest_image(latent, sizes[-1], widths[-1], activation, seeds)
    for index, size in reversed(list(enumerate(sizes[:-1]))):
        x = block(x, activation, seeds, f"block_{index}")
        x = _upsample(
            x,
            widths[max(index - 1, 0)],
            size,
            activation=activation,
            seeds=seeds,
            name=f"up_{index}",
        )
    return keras.Model(latent, _pixels(x, channels, seeds), name="decoder")


def start_at(decoder: keras.Model, image: Any) -> None:
    """Centres the decoder's outputs on the channel means of `image`, (H, W, channels)."""
    decoder.get_layer(LAST_LAYER).bias.assign(keras.ops.mean(image, axis=(0, 1)))


def stage_sizes(image_shape: Shape, stages: int) -> list[tuple[int, int]]:
    """(height, width) before the first stage and after each: stages + 1 pairs."""
    sizes = [(image_shape[0], image_shape[1])]
    for _ in range(stages):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def _downsample(
    x: keras.KerasTensor, filters: int, activation: str, seeds: Iterator[int], name: str
) -> keras.KerasTensor:
    """Halves both sides, rounding up: (N, H, W, ·) → (N, ⌈H/2⌉, ⌈W/2⌉, filters)."""
    return _strided(keras.layers.Conv2D, x, filters, activation=activation, seeds=seeds, name=name)


def _upsample(
    x: keras.KerasTensor,
    filters: int,
    size: tuple[int, int],
    *,
    activation: str,
    seeds: Iterator[int],
    name: str,
) -> keras.KerasTensor:
    """Doubles both sides, then crops the surplus row or column if `size` is odd."""
    x = _strided(
        keras.layers.Conv2DTranspose, x, filters, activation=activation, seeds=seeds, name=name
    )
    surplus = (x.shape[1] - size[0], x.shape[2] - size[1])
    if any(surplus):
        x = keras.layers.Cropping2D(((0, surplus[0]), (0, surplus[1])), name=f"{name}_crop")(x)
    return x


def _strided(
    convolution: type[keras.layers.Layer],
    x: keras.KerasTensor,
    filters: int,
    *,
    activation: str,
    seeds: Iterator[int],
    name: str,
) -> keras.KerasTensor:
    """A convolution or transposed convolution with stride 2, and its activation."""
    x = convolution(
        units_before(activation, filters),
        3,
        strides=2,
        padding="same",
        kernel_initializer=hidden_initializer(activation, next(seeds)),
        name=name,
    )(x)
    return activated(x, activation, f"{name}_activation")


def _smallest_image(
    latent: keras.KerasTensor,
    size: tuple[int, int],
    filters: int,
    activation: str,
    seeds: Iterator[int],
) -> keras.KerasTensor:
    """(N, latent_dim) → (N, *size, filters)."""
    x = keras.layers.Dense(
        size[0] * size[1] * units_before(activation, filters),
        kernel_initializer=hidden_initializer(activation, next(seeds)),
        name="smallest",
    )(latent)
    x = keras.layers.Reshape((*size, units_before(activation, filters)))(x)
    return activated(x, activation, "smallest_activation")


def _pixels(x: keras.KerasTensor, channels: int, seeds: Iterator[int]) -> keras.KerasTensor:
    """The linear last layer: (N, H, W, ·) → (N, H, W, channels)."""
    return keras.layers.Conv2D(
        channels,
        3,
        padding="same",
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        name=LAST_LAYER,
    )(x)
