"""A run in parts, each written and committed separately."""
