"""Flags that OpenLTM users type and that need nothing here: accepted, each with one line that says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OpenLTMFlags:
    """Accepted for users of OpenLTM."""

    data: str = field(default="PeruRainfall", metadata={"help": "name of the data set; the table itself is data_path"})
    des: str = field(default="", metadata={"help": "description, kept with the run"})
    features: str = field(default="M", metadata={"help": "M, S or MS; the variables are those of the table"})
    num_workers: int = field(default=0, metadata={"help": "loader processes; batches need none here"})
    test_seq_len: int | None = field(
        default=None, metadata={"help": "context at test time; the one of training is used"}
    )
    test_pred_len: int | None = field(default=None, metadata={"help": "forecast length; the label is one period here"})
    test_flag: str = field(default="T", metadata={"help": "how OpenLTM tests; here the test split is scored once"})
    visualize: bool = field(default=False, metadata={"help": "figures are always made"})


NOTES = {
    "data": "names the data set; the table is read from --root_path and --data_path.",
    "features": "all variables of the table are used; choose them with `prepare --columns`.",
    "num_workers": "changes nothing: a batch is one gather from memory, loader processes would slow it down.",
    "test_seq_len": "the context of the test is --seq_len.",
    "test_pred_len": "a class is predicted, not a series; the classes are those of the table.",
    "test_flag": "the test split is scored once, after training.",
    "visualize": "figures are always made.",
}


def explain(given: Mapping[str, Any], seq_len: int) -> None:
    """Say in a line each what these flags do here."""
    for name, text in NOTES.items():
        if name not in given or (name == "test_seq_len" and given[name] == seq_len):
            continue
        logger.info("--%s: %s", name, text)
