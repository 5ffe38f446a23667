"""Which scores a table shows: of yes/no forecasts, and of amounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What is shown of forecasts of one kind.

    Attributes:
        columns: title -> name of every score of the table, in the order of its columns.
        told: title -> name of the scores whose differences are told in sentences.
        drawn: title -> name and value without skill of the scores that are drawn.
        order: name of the score, an error, that the table is ordered by.
        best_by: what that is called in a sentence.
    """

    columns: Mapping[str, str]
    told: Mapping[str, str]
    drawn: Mapping[str, tuple[str, float]]
    order: str
    best_by: str


EVENT = Shape(
    columns={
        "accuracy": "accuracy",
        "macro F1": "macro_f1",
        "MCC": "matthews_correlation",
        "PSS": "peirce_skill_score",
        "ROC AUC": "roc_auc",
        "Brier": "brier_score",
        "Brier skill": "brier_skill_score",
    },
    told={"Brier skill": "brier_skill_score", "ROC AUC": "roc_auc"},
    drawn={"Brier skill": ("brier_skill_score", 0.0), "ROC AUC": ("roc_auc", 0.5)},
    order="brier_score",
    best_by="Brier score",
)
AMOUNT = Shape(
    columns={
        "MAE": "mean_absolute_error",
        "RMSE": "root_mean_squared_error",
        "bias": "bias",
        "CRPS": "continuous_ranked_probability_score",
        "CRPS skill": "crps_skill_score",
    },
    told={"CRPS skill": "crps_skill_score", "CRPS": "continuous_ranked_probability_score"},
    drawn={"CRPS skill": ("crps_skill_score", 0.0)},
    order="continuous_ranked_probability_score",
    best_by="CRPS",
)
