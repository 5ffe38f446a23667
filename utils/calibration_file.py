"""calibration.json of a run: what predict needs beside the weights, kept as plain numbers and checked by its hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from utils import run_directory
from utils.calibration import Calibration
from utils.errors import CheckpointError
from utils.files import sha256

CALIBRATION_FILE = "calibration.json"


def write(folder: Path, calibration: Calibration) -> dict[str, Any]:
    """Write calibration.json, unless there is no calibration.

    Args:
        folder: run directory, or one of its `scored-*` folders.
        calibration: of the run.

    Returns:
        What scores.json says of it: all but the curves, and the SHA-256 of the file.

    Raises:
        StorageError: the file cannot be written.
    """
    content = run_directory.finite(asdict(calibration))
    told = {name: value for name, value in content.items() if name != "curves"}
    if calibration.method == "none":
        return told
    run_directory.write_json(folder / CALIBRATION_FILE, content)
    return told | {"file_sha256": sha256(folder / CALIBRATION_FILE)}


def read(run: Path, scores: Mapping[str, Any]) -> Calibration:
    """Read the calibration of a finished run.

    Args:
        run: its directory.
        scores: content of its scores.json; one of an earlier version names no calibration, and none was done.

    Raises:
        CheckpointError: ``CALIBRATION_MISSING``, or ``CALIBRATION_DAMAGED`` where the file is not the one that
            scores.json was written beside.
    """
    told = scores.get("calibration") or {}
    if not isinstance(told, Mapping):
        raise _unusable("CALIBRATION_DAMAGED", "cannot be read", run / CALIBRATION_FILE, f"scores.json: {told!r}")
    if told.get("method", "none") == "none":
        return Calibration(reason=told.get("reason") or "")
    path = run / CALIBRATION_FILE
    if not path.is_file():
        raise _unusable("CALIBRATION_MISSING", "is not there", path, f"scores.json: {told['method']}; no such file")
    if sha256(path) != told.get("file_sha256"):
        raise _unusable("CALIBRATION_DAMAGED", "is another one", path, "its SHA-256 is not the one in scores.json")
    try:
        content = run_directory.read_json(path)
        curves = tuple((tuple(x), tuple(y)) for x, y in content.pop("curves"))
        return Calibration(curves=curves, **content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unusable("CALIBRATION_DAMAGED", "cannot be read", path, str(error)) from None


def _unusable(code: str, what: str, path: Path, evidence: str) -> CheckpointError:
    return CheckpointError(
        code,
        f"The calibration of this run {what}, and its probabilities and its cut are worth nothing without it.",
        where=str(path),
        evidence=evidence,
        next_command=f"copy the run again with all its files; or python run.py --is_training 0 --run {path.parent} "
        "--calibration temperature fits it anew: copy what is in the scored-* folder that it makes into the run",
    )
