"""Beam transforms that read, score and write images as record batches.

The names exported here are public, as are the types of their arguments and results.
"""

from transforms.images.decode import DecodeImages
from transforms.reading.read import ImageRecords, ReadImages
from transforms.records.batches import BatchLimits
from transforms.records.where import Where
from transforms.runs.reject_limit import RejectLimit
from transforms.runs.shards import ShardLimits
from transforms.runs.write import WriteScores
from transforms.scoring.by_category import ScoreImagesByCategory
from transforms.scoring.model_handler import AutoencoderModelHandler, LoadedModel
from transforms.scoring.score import ScoredRecords, ScoreImages
from transforms.sources import ReadOptions

__all__ = [
    "AutoencoderModelHandler",
    "BatchLimits",
    "DecodeImages",
    "ImageRecords",
    "LoadedModel",
    "ReadImages",
    "ReadOptions",
    "RejectLimit",
    "ScoreImages",
    "ScoreImagesByCategory",
    "ScoredRecords",
    "ShardLimits",
    "Where",
    "WriteScores",
]
