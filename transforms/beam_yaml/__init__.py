"""The transforms for Beam YAML."""
