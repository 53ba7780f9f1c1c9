"""Reading a finished run's folder, and results derived from its rows."""
