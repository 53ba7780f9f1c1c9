"""From image records to training data."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from sklearn.datasets import load_digits

from ae_models.config.configuration import Configuration, ImageConfig, PreprocessingConfig
from ae_models.config.model import AutoencoderConfig
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.splits import SPLITS, TRAIN, id_hashes
from pipelines.training.records import Records, analyse, read_records
from tests.support.digits import digit_ids, digit_pixels, digit_splits
from transforms.records.where import Where
from transforms.sources import ReadOptions

_IMAGE = ImageConfig(8, 8, 1, 8)


def _prepare(folder: Path, scaling: str) -> Records:
    preprocessing = PreprocessingConfig(scaling)
    config = Configuration(AutoencoderConfig(), _IMAGE, preprocessing=preprocessing)
    options, wheres = PipelineOptions(runner="FnApiRunner"), [Where.parse("label=1,2")]
    records = read_records(["builtin:digits"], wheres, ReadOptions(), config, options, folder)
    analyse(records.stores[TRAIN], records.scale, config, options, folder / "transform", folder)
    return records


@pytest.mark.parametrize("scaling", ["unit", "standard", "quantile"])
def test_preprocessing_is_that_of_the_training_split_alone(tmp_path: Path, scaling: str) -> None:
    pixels, ids = digit_pixels(), digit_ids()
    split = digit_splits(np.isin(load_digits().target, [1, 2]))

    records = _prepare(tmp_path, scaling)
    ascending = np.argsort(id_hashes(ids)).tolist()
    for name in SPLITS:
        numbers = [number for number in ascending if split[number] == name]
        store = records.stores[name]
        np.testing.assert_array_equal(store.read(0, len(store)), pixels[numbers])
        if name == "calibration":
            parts = list(records.calibration(5))
            assert [i for part, _ in parts for i in part] == [ids[number] for number in numbers]
            np.testing.assert_array_equal(
                np.concatenate([images for _, images in parts]), pixels[numbers]
            )

    seen = pixels[split == "train"].astype(np.float64)
    scaled = Preprocessing(tmp_path / "transform")(tf.constant(pixels[:50])).numpy()
    if scaling == "standard":
        expected = (pixels[:50] - seen.mean()) / seen.std()
    else:  # a tenth of the pixels is black, a tenth white: nothing is clipped
        expected = (pixels[:50] - seen.min()) / (seen.max() - seen.min())
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
