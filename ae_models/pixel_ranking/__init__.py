"""How well anomaly maps separate anomalous pixels from normal ones, for any number of pixels."""
