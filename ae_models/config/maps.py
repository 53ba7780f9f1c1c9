"""The names of anomaly maps, which configurations hold."""

ERROR, LIKELIHOOD, DENSITY = "error", "likelihood", "density"
NO_MAP = "none"
