"""Large constants of an exported graph: stored once, beside it."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy import ndimage

from ae_models.ops.constants import KeptConstants, constant
from ae_models.ops.gaussian_filter import gaussian_filtered


class _Filter(tf.Module):
    """A filter in two functions, used twice in each, for images 2,048 pixels wide."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = KeptConstants()
        self.constants: list[tf.Variable] = []

    def once(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        with self.kept.used():
            return {"y": gaussian_filtered(x, 0.4)}

    def twice(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        with self.kept.used():
            return {"y": gaussian_filtered(gaussian_filtered(x, 0.4), 0.4)}


def test_a_graph_of_wide_images_stays_small_and_filters_as_scipy_does(tmp_path: Path) -> None:
    module, spec = _Filter(), tf.TensorSpec((None, 8, 2048, 1), tf.float32, name="x")
    signatures = {
        f.__name__: tf.function(f).get_concrete_function(spec) for f in (module.once, module.twice)
    }
    module.constants = module.kept.variables
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    assert [variable.shape for variable in module.constants] == [(2048, 2048)]
    assert (tmp_path / "saved_model.pb").stat().st_size < 1 << 20
    image = np.random.default_rng(0).random((8, 2048), np.float32)
    found = tf.saved_model.load(str(tmp_path)).signatures["once"](x=image[None, ..., None])["y"]
    expected = ndimage.gaussian_filter(image, 0.4)
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-5)


def test_without_an_export_and_of_small_ones_constants_are_plain() -> None:
    large, small, kept = np.ones((200, 200)), np.ones(9), KeptConstants()
    assert np.array_equal(constant(large), large.astype(np.float32))
    with kept.used():
        assert np.array_equal(constant(small), small)
        assert kept.variables == []
        assert np.array_equal(constant(large), constant(large.copy()))
        assert len(kept.variables) == 1
        constant(large, "int64")
        constant(2 * large)
        assert len(kept.variables) == 3
