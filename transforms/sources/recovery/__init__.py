"""What is left of damaged files."""
