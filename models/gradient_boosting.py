"""Histogram gradient boosting on engineered features: the reference that is hard to beat on tables.

Grown by scikit-learn (`HistGradientBoostingClassifier`, or for amounts of rain one `HistGradientBoostingRegressor` of
the quantile loss for each quantile); stored as plain arrays of nodes, and predictions walk these arrays, so the saved
file needs no pickle and no particular version of scikit-learn.
Source: Friedman (2001), Greedy function approximation; Ke et al. (2017), LightGBM; scikit-learn user guide, 1.11.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from models._features import FeatureConfig
from utils import rain_scale
from utils.amounts import Amounts
from utils.class_labels import check_labels, softmax, spread_over_classes
from utils.flag_rules import require

# All trees are walked at once for so many samples; the chunk's features stay in the processor's cache.
CHUNK = 512
NODE_NAMES = ("baseline", "root", "feature", "threshold", "missing_left", "left", "right", "value")
STATE_NAMES = ("classes", *NODE_NAMES)


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """Settings of the gradient boosting."""

    boosting_trees: int = field(default=300, metadata={"help": "number of boosting rounds (trees per class)"})
    boosting_learning_rate: float = field(default=0.03, metadata={"help": "share of each tree that is added"})
    boosting_leaves: int = field(default=31, metadata={"help": "most leaves of one tree"})

    boosting_min_samples: int = field(default=20, metadata={"help": "fewest training windows in a leaf"})
    boosting_l2: float = field(default=0.0, metadata={"help": "L2 penalty on the values of the leaves"})
    boosting_feature_share: float = field(
        default=1.0, metadata={"help": "share of the features, drawn anew, that each split may choose among"}
    )

    def __post_init__(self) -> None:
        require(self, "boosting_trees", self.boosting_trees >= 1, "must be at least 1", "--boosting_trees 300")
        rate, penalty = self.boosting_learning_rate, self.boosting_l2
        is_rate = math.isfinite(rate) and rate > 0
        require(self, "boosting_learning_rate", is_rate, "must be above 0", "--boosting_learning_rate 0.03")
        require(self, "boosting_leaves", self.boosting_leaves >= 2, "must be at least 2", "--boosting_leaves 31")
        fewest = self.boosting_min_samples
        require(self, "boosting_min_samples", fewest >= 1, "must be at least 1", "--boosting_min_samples 20")
        is_penalty = math.isfinite(penalty) and penalty >= 0
        require(self, "boosting_l2", is_penalty, "must not be below 0", "--boosting_l2 0")
        is_share = 0 < self.boosting_feature_share <= 1
        require(self, "boosting_feature_share", is_share, "must be above 0 and at most 1", "--boosting_feature_share 1")


class Model:
    """Boosted trees for two or more classes; missing values (NaN) are allowed and learned from.

    Args:
        config: object with the fields of `Config`, `n_classes` and `seed`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("features",)

    def __init__(self, config: Any) -> None:
        self.n_classes = int(config.n_classes)
        self._settings = _settings(config)
        self._fitted: dict[str, np.ndarray] = {}

    def fit(self, inputs: Mapping[str, np.ndarray], label: np.ndarray) -> None:
        """Grow the trees and keep their nodes.

        Args:
            inputs: `features` `(N, F)`; NaN means missing.
            label: `(N,)` class of each sample; at least two classes have to occur.

        Raises:
            DataError: labels out of range or one class only.
        """
        label = check_labels(label, self.n_classes, at_least=2)
        boosting = HistGradientBoostingClassifier(**self._settings)
        boosting.fit(_binnable(inputs["features"]), label)
        nodes = _flatten(boosting._predictors, boosting._baseline_prediction)
        self._fitted = {"classes": boosting.classes_.astype(np.int64), **nodes}

    def predict_probability(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Give `(N, n_classes)` probabilities for `features` `(N, F)`, NaN where missing."""
        raw = _raw(self._fitted, inputs["features"])
        if raw.shape[1] == 1:  # two classes share one tree per round: the first has logit 0
            raw = np.hstack([np.zeros_like(raw), raw])
        return spread_over_classes(softmax(raw), self._fitted["classes"], self.n_classes)

    def state(self) -> dict[str, torch.Tensor]:
        """The nodes of all trees one after another; `root` `(rounds, trees per round)` says where each begins."""
        return {name: torch.from_numpy(value.copy()) for name, value in self._fitted.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the tensors that `state` returned."""
        self._fitted = {name: state[name].numpy().copy() for name in STATE_NAMES}


class AmountModel:
    """Boosted trees for quantiles of the rain, grown on the scale log(1 + mm); missing values (NaN) are allowed.

    Every quantile is grown alone; where two of them cross they are put in order, which brings none of them further from
    the truth (Chernozhukov et al., 2010, Quantile and probability curves without crossing).

    Args:
        config: object with the fields of `Config`, `n_quantiles` and `seed`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("features",)

    def __init__(self, config: Any) -> None:
        self.levels = rain_scale.levels(int(config.n_quantiles))
        self._settings = _settings(config)
        self._fitted: dict[str, np.ndarray] = {}

    def fit(self, inputs: Mapping[str, np.ndarray], amount_mm: np.ndarray) -> None:
        """Grow the trees and keep their nodes.

        Args:
            inputs: `features` `(N, F)`; NaN means missing.
            amount_mm: `(N,)` rain in millimetres.
        """
        features, target = _binnable(inputs["features"]), rain_scale.to_scale(amount_mm)
        grown = [
            HistGradientBoostingRegressor(loss="quantile", quantile=level, **self._settings).fit(features, target)
            for level in self.levels
        ]
        rounds = zip(*(one._predictors for one in grown), strict=True)
        trees = [[tree for of_level in one_round for tree in of_level] for one_round in rounds]
        self._fitted = _flatten(trees, np.array([one._baseline_prediction for one in grown]))

    def predict_amounts(self, inputs: Mapping[str, np.ndarray]) -> Amounts:
        """Give the amounts for `features` `(N, F)`, NaN where missing."""
        scaled = np.sort(_raw(self._fitted, inputs["features"]), axis=1)
        return Amounts.of_quantiles(rain_scale.to_millimetres(scaled))

    def state(self) -> dict[str, torch.Tensor]:
        """The nodes of all trees one after another; `root` `(rounds, n_quantiles)` says where each begins."""
        return {name: torch.from_numpy(value.copy()) for name, value in self._fitted.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the tensors that `state` returned."""
        self._fitted = {name: state[name].numpy().copy() for name in NODE_NAMES}


def _settings(config: Any) -> dict[str, Any]:
    """Return what scikit-learn is told; the number of rounds is part of the reference, so nothing stops them early."""
    return {
        "max_iter": int(config.boosting_trees),
        "learning_rate": float(config.boosting_learning_rate),
        "max_leaf_nodes": int(config.boosting_leaves),
        "min_samples_leaf": int(config.boosting_min_samples),
        "l2_regularization": float(config.boosting_l2),
        "max_features": float(config.boosting_feature_share),
        "random_state": int(config.seed),
        "early_stopping": False,
        "categorical_features": None,
    }


def _binnable(features: np.ndarray) -> np.ndarray:
    """Return `(N, F)` with 0 in features that are missing everywhere: those cannot be binned."""
    features = np.array(features, dtype=np.float64)
    features[:, np.isnan(features).all(0)] = 0.0
    return features


def _flatten(rounds: list[list[Any]], baseline: np.ndarray) -> dict[str, np.ndarray]:
    """Lay the nodes of all trees one after another; a leaf is its own child, so that walking on stays there.

    Args:
        rounds: trees of scikit-learn, as many in each round.
        baseline: what the sum of each place in the rounds begins with.
    """
    trees = [tree.nodes for one_round in rounds for tree in one_round]
    starts = np.cumsum([0, *(len(tree) for tree in trees[:-1])])
    nodes = np.concatenate(trees)
    offset = np.repeat(starts, [len(tree) for tree in trees])
    leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
    return {
        "baseline": np.asarray(baseline, dtype=np.float64).reshape(-1),
        "root": starts.reshape(len(rounds), -1).astype(np.int64),
        "feature": nodes["feature_idx"].astype(np.int64),
        "threshold": nodes["num_threshold"].astype(np.float64),
        "missing_left": nodes["missing_go_to_left"].astype(bool),
        "left": np.where(leaf, own, nodes["left"] + offset).astype(np.int64),
        "right": np.where(leaf, own, nodes["right"] + offset).astype(np.int64),
        "value": nodes["value"].astype(np.float64),
    }


def _raw(fitted: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Return the raw scores `(N, trees per round)` of `features` `(N, F)`, chunk by chunk."""
    features = np.asarray(features, dtype=np.float64)
    raw = np.empty((len(features), fitted["root"].shape[1]))
    for start in range(0, len(features), CHUNK):
        raw[start : start + CHUNK] = _walk(fitted, features[start : start + CHUNK])
    return raw


def _walk(fitted: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Sum the leaves that `(n, F)` samples reach: `(n, trees per round)` raw scores."""
    rounds, per_round = fitted["root"].shape
    node = np.broadcast_to(fitted["root"].reshape(-1), (len(features), rounds * per_round))
    row = np.arange(len(features))[:, None]
    while True:
        value = features[row, fitted["feature"][node]]
        go_left = np.where(np.isnan(value), fitted["missing_left"][node], value <= fitted["threshold"][node])
        following = np.where(go_left, fitted["left"][node], fitted["right"][node])
        if np.array_equal(following, node):
            break
        node = following
    leaves = fitted["value"][node].reshape(len(features), rounds, per_round)
    return fitted["baseline"] + leaves.sum(axis=1)
