"""Beam transforms that read, score and write images as record batches."""

from transforms.images.decode import DecodeImages
from transforms.reading.read import ReadImages
from transforms.runs.write import WriteScores
from transforms.scoring.by_category import ScoreImagesByCategory
from transforms.scoring.model_handler import AutoencoderModelHandler
from transforms.scoring.score import ScoreImages

__all__ = [
    "AutoencoderModelHandler",
    "DecodeImages",
    "ReadImages",
    "ScoreImages",
    "ScoreImagesByCategory",
    "WriteScores",
]
