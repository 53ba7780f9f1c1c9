"""From image records to what training reads."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from ae_models.config.configuration import Configuration, ImageConfig, PreprocessingConfig
from ae_models.config.model import AutoencoderConfig
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.splits import SPLITS
from tests.support.digits import digit_ids, digit_pixels, digit_splits
from transforms.reading.read import ReadImages
from transforms.training.prepare import PrepareTraining, read_shards, split_reader

_IMAGE = ImageConfig(8, 8, 1, 8)


def _prepare(folder: Path, scaling: str) -> None:
    preprocessing = PreprocessingConfig(scaling)
    config = Configuration(AutoencoderConfig(), _IMAGE, preprocessing=preprocessing)
    with beam.Pipeline("FnApiRunner") as pipeline:
        images = pipeline | ReadImages("builtin:digits", where=["label=1,2"])
        images | PrepareTraining(config, str(folder / "records"), str(folder / "transform"))


@pytest.mark.parametrize("scaling", ["unit", "standard"])
def test_preprocessing_is_that_of_the_training_split_alone(tmp_path: Path, scaling: str) -> None:
    _prepare(tmp_path, scaling)
    pixels, ids, split = digit_pixels(), digit_ids(), digit_splits()
    chosen = np.isin(load_digits().target, [1, 2])

    shards = read_shards(str(tmp_path / "records"))
    for name in SPLITS:
        found = {
            record: image
            for records, images in split_reader(shards, name, _IMAGE)()
            for record, image in zip(records, images, strict=True)
        }
        numbers = np.flatnonzero((split == name) & chosen)
        assert found.keys() == {ids[number] for number in numbers}
        assert all(np.array_equal(found[ids[number]], pixels[number]) for number in numbers)

    seen = pixels[(split == "train") & chosen].astype(np.float64)
    scaled = Preprocessing(tmp_path / "transform")(tf.constant(pixels[:50])).numpy()
    if scaling == "unit":
        expected = (pixels[:50] - seen.min()) / (seen.max() - seen.min())
    else:
        expected = (pixels[:50] - seen.mean()) / seen.std()
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
