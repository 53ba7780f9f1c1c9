"""The name under which users' YAML files knew these transforms; they live in `beam_yaml`."""

from transforms.beam_yaml.transforms import PROVIDERS, ReadImages, ScoreImages, WriteScores

__all__ = ["PROVIDERS", "ReadImages", "ScoreImages", "WriteScores"]
