"""Files for setting up engines and clusters."""
