"""Writing a run's folder."""
