"""Anomaly scores, one number a record, greater for every score when more anomalous.

One family a file. A score is added by its file and a line in `SCORES`.
"""

from ae_models.scores.elbo import KL, NegativeElbo
from ae_models.scores.local import ReconstructionMax
from ae_models.scores.mahalanobis import LatentMahalanobis
from ae_models.scores.reconstruction import ReconstructionMAE, ReconstructionMSE
from ae_models.scores.restoration import RestorationMAE, RestorationMSE
from ae_models.scores.score import Score
from ae_models.scores.selection import SCORES, fit_scores, primary_score, score_names
from ae_models.scores.ssim import ReconstructionSSIM

__all__ = [
    "KL",
    "SCORES",
    "LatentMahalanobis",
    "NegativeElbo",
    "ReconstructionMAE",
    "ReconstructionMSE",
    "ReconstructionMax",
    "ReconstructionSSIM",
    "RestorationMAE",
    "RestorationMSE",
    "Score",
    "fit_scores",
    "primary_score",
    "score_names",
]
