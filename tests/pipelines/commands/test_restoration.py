"""A denoising bundle with an invertible corruption, from training to its scores."""

from pathlib import Path

import keras
import numpy as np
import pytest

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.errors import ConfigError
from ae_models.training.preprocessing import Preprocessing
from pipelines.commands.train import train, train_configuration
from tests.support.digits import digit_pixels

_SMALL = ("model.network=dense", "model.widths=[16]", "model.latent_dim=4")


@pytest.mark.parametrize(
    "corruption",
    ["rotation", pytest.param("gaussian_noise:0.5+clip", marks=pytest.mark.slow)],
)
def test_a_bundle_scores_what_the_model_fails_to_restore(tmp_path: Path, corruption: str) -> None:
    scores = "scoring.scores=[reconstruction_mse, restoration_mse, restoration_mae]"
    settings = [*_SMALL, f"model.corruption={corruption}", scores]
    settings += ["scoring.primary=restoration_mse"]
    config = train_configuration("dae", overrides=settings, flags={"epochs": 2})
    train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"])
    bundle = open_bundle(tmp_path / "m")
    pixels = digit_pixels()[:300]
    scorer = Scorer(bundle.path, bundle.config)
    found = scorer.score(pixels)
    for name, value in scorer.score(pixels[:17]).items():
        np.testing.assert_array_equal(value, found[name][:17], err_msg=name)
    x = Preprocessing(bundle.path / "transform_fn")(pixels).numpy()
    model = keras.models.load_model(bundle.path / "model.keras")
    views = [np.asarray(view(x)) for view in model.corruption.views((8, 8, 1))]
    restored = np.stack([model.infer(view)["reconstruction"].numpy() for view in views])
    expected = ((restored.astype(np.float64) - x) ** 2).mean(axis=(0, 2, 3, 4))
    np.testing.assert_allclose(found["score_restoration_mse"], expected, rtol=1e-4)
    np.testing.assert_array_equal(found["score"], found["score_restoration_mse"])
    assert np.any(found["score"] != found["score_reconstruction_mse"])


def test_a_model_that_undoes_nothing_restores_nothing() -> None:
    with pytest.raises(ConfigError, match=r"scores for ae .*Received: 'restoration_mse'"):
        train_configuration("ae", overrides=["scoring.scores=[restoration_mse]"])
