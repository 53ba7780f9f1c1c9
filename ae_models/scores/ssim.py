"""The structural dissimilarity of the reconstruction."""

from ae_models.config.configuration import Configuration
from ae_models.ops.ssim import structural_dissimilarity
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class ReconstructionSSIM(Score):
    """1 − SSIM(x, x'), from 0 to 2 (Wang et al. 2004). For images between 0 and 1."""

    name = "reconstruction_ssim"
    resolution = 1e-6

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        if config.preprocessing.bounded:
            return None
        return (
            "needs preprocessing.scaling 'unit', 'quantile' or 'full_range'. "
            f"Received: {config.preprocessing.scaling!r}"
        )

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return structural_dissimilarity(x, outputs["reconstruction"])
