"""Beam's own main program for YAML files."""

import warnings

with warnings.catch_warnings():
    # It imports every library of models that it finds, whose warnings are not ours.
    warnings.simplefilter("ignore")
    from apache_beam.yaml import main, yaml_ml  # noqa: F401


def run_yaml(path: str) -> None:
    """Runs a file as `python -m apache_beam.yaml.main` does."""
    main.run([f"--yaml_pipeline_file={path}", "--runner=FnApiRunner"])
