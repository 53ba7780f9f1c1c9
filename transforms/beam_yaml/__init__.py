"""The transforms for Beam YAML files."""
