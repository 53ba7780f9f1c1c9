"""Anomaly scores, one number a record, greater for every score when more anomalous.

One family a file. A score is added by its file and a line in `SCORES`.
"""

from ae_models.scores.registry import AUTO, SCORES, fit_scores, primary_score, score_names
from ae_models.scores.score import Score

__all__ = ["AUTO", "SCORES", "Score", "fit_scores", "primary_score", "score_names"]
