"""The former name of these transforms in users' YAML files; they are now in `beam_yaml`."""

from transforms.beam_yaml.transforms import PROVIDERS, ReadImages, ScoreImages, WriteScores

__all__ = ["PROVIDERS", "ReadImages", "ScoreImages", "WriteScores"]
