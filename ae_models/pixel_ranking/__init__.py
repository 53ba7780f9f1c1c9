"""How well anomaly maps tell anomalous pixels from normal ones, however many there are."""
