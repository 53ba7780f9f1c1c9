"""Makes runs fail, and counts what is lost."""
