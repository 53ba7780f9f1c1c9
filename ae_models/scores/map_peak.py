"""The most anomalous place of the anomaly map."""

from keras import ops

from ae_models.bundles.names import ANOMALY_MAP
from ae_models.config.configuration import Configuration
from ae_models.config.maps import NO_MAP
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class MapPeak(Score):
    """The greatest value of the anomaly map that `scoring.map` selects: a record has a region above
    a threshold of the map if and only if its peak is."""

    name = "map_peak"
    parity = 1e-4

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        if config.scoring.map == NO_MAP:
            return f"needs a map. Received: scoring.map {config.scoring.map!r}"
        return None

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return ops.max(outputs[ANOMALY_MAP], axis=(1, 2))
