"""Beam transforms that read, score and write images as record batches."""

from transforms.decode import DecodeImages
from transforms.model_handler import AutoencoderModelHandler
from transforms.read import ReadImages
from transforms.score import ScoreImages
from transforms.score_by_category import ScoreImagesByCategory
from transforms.write import WriteScores

__all__ = [
    "AutoencoderModelHandler",
    "DecodeImages",
    "ReadImages",
    "ScoreImages",
    "ScoreImagesByCategory",
    "WriteScores",
]
