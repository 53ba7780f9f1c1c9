"""Anomaly scores, one number per record; for every score, greater is more anomalous.

One family per file. To add a score, add its file and a line in `SCORES`.
"""

from ae_models.scores.registry import AUTO, SCORES, fit_scores, primary_score, score_names
from ae_models.scores.score import Score

__all__ = ["AUTO", "SCORES", "Score", "fit_scores", "primary_score", "score_names"]
