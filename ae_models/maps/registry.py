"""The anomaly map of a bundle."""

from ae_models.config.configuration import Configuration
from ae_models.config.family import Family
from ae_models.config.maps import DENSITY, ERROR, LIKELIHOOD, NO_MAP, map_size
from ae_models.maps.anomaly_map import AnomalyMap

MAPS: Family[type[AnomalyMap]] = Family(
    {
        ERROR: "ae_models.maps.error:ErrorMap",
        LIKELIHOOD: "ae_models.maps.likelihood:LikelihoodMap",
        DENSITY: "ae_models.maps.density:DensityMap",
    }
)


def map_name(config: Configuration) -> str | None:
    """`scoring.map`; by default `density` for features and `error` for pixels; None: the bundle has
    no maps."""
    asked = config.scoring.map
    if asked is not None:
        return None if asked == NO_MAP else asked
    return DENSITY if config.features.is_on else ERROR


def new_map(config: Configuration) -> AnomalyMap | None:
    """A new, unfitted instance of the configured map, if there is one."""
    name = map_name(config)
    return None if name is None else MAPS[name](map_size(config.image.shape[:2]))
