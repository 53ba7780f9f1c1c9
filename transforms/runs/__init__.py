"""A run's folder while it is being written."""
