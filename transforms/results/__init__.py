"""A finished run's folder: reading it, and what is made of its rows."""
