"""The runs that are named, read whole or refused: all that is wrong with any of them in one message."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from exp import stored_forecasts
from exp.finished_runs import task_of
from exp.resume import OF_NO_CONSEQUENCE
from utils import run_directory
from utils.amounts import AmountForecasts
from utils.errors import ForeseenError, UsageError, join
from utils.forecasts import REFERENCES, Forecasts, ReferenceName

logger = logging.getLogger(__name__)
CONFIG_FILE = "config.json"
# The name of an experiment and its table may stand for something that no flag tells.
_TELLS_NO_RUNS_APART = OF_NO_CONSEQUENCE - {"model_id", "data_path"}
# The flags that a run of --cross_validate has of its own, one year each.
YEARS = ("train_until", "validation_until", "test_until")
# Another draw of training windows is another go at the same experiment, as another seed is.
DRAW = "train_windows_seed"
NEEDED_SCORES = {"seed", "test", "synthetic", "threshold_mm", "cut", "lead_time_hours", "accumulation_hours"}
NEEDED_CONFIG = {"splits", "regions"}
Events = Mapping[float, Forecasts]


@dataclass(frozen=True)
class StoredRun:
    """A finished run that says whether it rains, of a classification or a regression.

    Attributes:
        path: where its scores and forecasts are: the run directory, or a folder `scored-<time>` in it.
        scores: content of scores.json.
        config: content of config.json.
        test: threshold in millimetres -> test forecasts.
        validation: the same of the validation split; empty where nobody asked for it.
        amounts: test forecasts in millimetres, in the order of `test`; None of a classification.
        parts: the runs that it was put together from, one for each test year; empty for a single run.
    """

    path: Path
    scores: Mapping[str, Any]
    config: Mapping[str, Any]
    test: Events
    validation: Events = field(default_factory=dict)
    amounts: AmountForecasts | None = None
    parts: tuple[StoredRun, ...] = ()

    @property
    def paths(self) -> list[str]:
        """The directories that it is made of."""
        return [str(part.path) for part in self.parts or (self,)]

    @property
    def home(self) -> Path:
        """The run directory."""
        return run_directory.home_of(self.path)

    @property
    def name(self) -> str:
        """What the run is called in tables: the name of its directory."""
        return str(self.path.relative_to(self.home.parent))

    @property
    def model(self) -> str:
        """Name of its model."""
        return str(self.scores["model"])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.scores["seed"])

    @property
    def own_flags(self) -> dict[str, Any]:
        """Return the flags that tell it from other runs, but for the seed."""
        return flags_but_seed(self.config)

    @property
    def first(self) -> Forecasts:
        """Test forecasts of the lowest threshold."""
        return next(iter(self.test.values()))


def flags_but_seed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task and the flags in config.json that have a consequence for the numbers, but for the seed."""
    flags = config["flags"]
    own = {name: value for name, value in flags.items() if name not in _TELLS_NO_RUNS_APART}
    return {"task_name": task_of(flags)} | own


def paths_of(words: Sequence[str]) -> list[Path]:
    """Return the run directories that words name: these, or of a folder of runs the newest of each model.

    Raises:
        UsageError: nothing is named, or a folder holds no finished run.
    """
    paths = [Path(word) for word in words]
    if not paths:
        raise UsageError(
            "CONFIG",
            "No run is named.",
            where="--task_name compare",
            next_command="python run.py --task_name compare RUN RUN ..., or one folder checkpoints/<model_id>",
        )
    alone = len(paths) == 1
    runs = [run for path in paths for run in (newest_of_each_model(path) if _is_folder(path, alone) else [path])]
    return list({run.resolve(): run for run in runs}.values())


def _is_folder(path: Path, alone: bool) -> bool:
    """Return whether a word names a folder of runs; what is neither that nor a run is told as a run among others."""
    if any((path / name).is_file() for name in (run_directory.FINISHED_FILE, CONFIG_FILE)):
        return False
    return alone or any(run.parent == path for run in run_directory.finished_runs(str(path.parent)))


def newest_of_each_model(folder: Path) -> list[Path]:
    """Return, for each model in the folder of one experiment, its newest finished run with its other seeds and draws.

    A classification and a regression of one model are two; in the folder of `--cross_validate` these are the runs of
    all years.

    Raises:
        UsageError: the folder holds no finished run about rain, or one whose description cannot be read.
    """
    found: dict[tuple[Any, ...], Path] = {}
    flags: dict[tuple[str, str], dict[str, Any]] = {}
    others: Counter[str] = Counter()
    for run in run_directory.finished_runs(str(folder.parent)):
        if run.parent != folder:
            continue
        scores, config = _description(run)
        if not _says_whether_it_rains(config):
            others[task_of(config["flags"])] += 1
            continue
        mine = flags_but_seed(config)
        kind, draw = (mine["task_name"], mine["model"]), mine.pop(DRAW, None)
        year = {name: mine.pop(name, None) for name in YEARS} if run_directory.is_fold(run) else {}
        if flags.setdefault(kind, mine) == mine:
            found.setdefault((*kind, scores["seed"], draw, *year.values()), run)
    if not found:
        raise _nothing_in(folder, others)
    if others:
        logger.info("Left out of %s, since they say nothing of events: %s", folder, _counted(others))
    return list(found.values())


def at_lead_time(paths: Sequence[Path], hours: int | None) -> list[Path]:
    """Return where each run has its scores at a lead time: in itself, or in a folder of it.

    Args:
        paths: of run directories.
        hours: the lead time; None for the first of each run.

    Raises:
        UsageError: ``CONFIG``, one has no forecasts of it.
    """
    return list(paths) if hours is None else [_at_lead_time(path, hours) for path in paths]


def _at_lead_time(path: Path, hours: int) -> Path:
    scores, _ = _description(path)
    further = path / run_directory.lead_folder(hours)
    if scores["lead_time_hours"] == hours:
        return path
    if (further / run_directory.FINISHED_FILE).is_file():
        return further
    others = sorted(each.name for each in path.glob(f"{run_directory.AT_LEAD}*"))
    raise UsageError(
        "CONFIG",
        f"This run has no forecasts {hours} h ahead.",
        where=f"--lead_time {hours}, {path}",
        evidence=f"its own is {scores['lead_time_hours']} h; folders of others: {', '.join(others) or 'none'}",
        next_command=f"train it with --lead_times {scores['lead_time_hours']} {hours}, or compare at another lead time",
    )


def _counted(others: Counter[str]) -> str:
    return ", ".join(f"{number} of --task_name {task}" for task, number in others.most_common())


def _nothing_in(folder: Path, others: Counter[str]) -> UsageError:
    """Return what is to be said of a folder without a run about rain; `others` counts its runs of other tasks."""
    if not others:
        experiments = sorted({run.parent for run in run_directory.finished_runs(str(folder))} - {folder})
        return UsageError(
            "CONFIG",
            "There are no finished runs in this folder.",
            where=str(folder),
            evidence=f"experiments with finished runs in it: {', '.join(path.name for path in experiments)}"
            if experiments
            else _what_is_there(folder),
            next_command=f"python run.py --task_name compare {experiments[0]}"
            if experiments
            else "python run.py --task_name compare checkpoints/<model_id>, after a run has ended",
        )
    return UsageError(
        "CONFIG",
        "The finished runs in this folder do not say whether it rains, so they have no scores of events.",
        where=str(folder),
        evidence=_counted(others),
        next_command="name a folder with runs of --task_name classification or regression; what these runs are worth "
        "is in the scores.json of each",
    )


def _what_is_there(path: Path) -> str:
    if path.is_dir():
        return "a directory without runs"
    return "a file, not a directory" if path.exists() else "no such directory"


def read_all(paths: Sequence[Path], *, with_validation: bool = False) -> list[StoredRun]:
    """Read runs, in the order given.

    Args:
        paths: of run directories, or of folders `scored-<time>` in them.
        with_validation: read the validation forecasts too.

    Raises:
        UsageError: one is no finished run about rain, or two are one seed of the same flags.
        DataError: ``RUN_WITHOUT_PREDICTIONS``; whatever else is wrong with any of them is in the same message.
    """
    runs: list[StoredRun] = []
    errors: list[ForeseenError] = []
    for path in paths:
        try:
            runs.append(read(path, with_validation=with_validation))
        except ForeseenError as error:
            errors.append(error)
    errors += _twins(runs)
    if errors:
        raise join(errors)
    return runs


def read(path: Path, *, with_validation: bool = False) -> StoredRun:
    """Read one run.

    Raises:
        UsageError: it is no finished run about rain.
        DataError: ``RUN_WITHOUT_PREDICTIONS``.
    """
    scores, config = _description(path)
    if not _says_whether_it_rains(config):
        raise UsageError(
            "CONFIG",
            "This run does not say whether it rains, so it has no scores of events.",
            where=str(path),
            evidence=f"--task_name {config['flags']['task_name']}",
            next_command="leave it out",
        )
    wanted: list[stored_forecasts.Split] = ["test", "validation"] if with_validation else ["test"]
    ways: dict[str, Callable[[], Any]] = {split: partial(stored_forecasts.read, path, split) for split in wanted}
    ways["amounts"] = partial(stored_forecasts.read_amounts, path)
    found: dict[str, Any] = {}
    errors: list[ForeseenError] = []
    for what, read_it in ways.items():
        try:
            found[what] = read_it()
        except ForeseenError as error:
            errors.append(error)
    if errors:
        raise join(errors)
    run = StoredRun(path, scores, config, **found)
    return run if run.amounts is None else _with_exact_chances(run)


def reference_cut(scores: Mapping[str, Any], threshold: float, name: ReferenceName) -> float:
    """Return the cut that validation chose for a reference.

    Runs of an earlier version did not choose one: from one half on it is rain.
    """
    test = scores["test"]
    test = test.get("events", test)
    event = test.get("thresholds", {}).get(f"{threshold:g} mm", test)
    return float(event.get("references", {}).get(name, {}).get("cut", 0.5))


def _with_exact_chances(run: StoredRun) -> StoredRun:
    """Give a regression by climatology or persistence the chances that these have as references.

    Its own are read off a few quantiles, and would have skill against the reference of the same name.
    """
    name = next((reference for reference in REFERENCES if reference == run.model), None)
    if name is None:
        return run
    exact = {
        split: {
            threshold: event.reference(name, reference_cut(run.scores, threshold, name))
            for threshold, event in events.items()
        }
        for split, events in (("test", run.test), ("validation", run.validation))
    }
    return replace(run, test=exact["test"], validation=exact["validation"])


def _description(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what scores.json and config.json of a finished run say, or say why that cannot be had."""
    refuse = partial(UsageError, "CONFIG", where=str(path))
    if not path.is_dir():
        raise refuse(
            "There is no such run.",
            evidence=_what_is_there(path),
            next_command="name run directories, checkpoints/<model_id>/<model>-seed<k>-<time>",
        )
    files = [path / run_directory.FINISHED_FILE, run_directory.home_of(path) / CONFIG_FILE]
    if not files[0].is_file():
        is_run = files[1].is_file()
        raise refuse(
            "This run is not finished." if is_run else "This is no run directory.",
            evidence=f"no {run_directory.FINISHED_FILE} in it",
            next_command=f"python run.py --resume {path} finishes it" if is_run else "name run directories",
        )
    try:
        scores, config = map(run_directory.read_json, files)
        missing = _missing(scores, config)
        if missing:
            raise LookupError(f"without {', '.join(missing)}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise refuse(
            "What describes this run cannot be read.",
            evidence=f"{run_directory.FINISHED_FILE} or {CONFIG_FILE}: {type(error).__name__}: {error}",
            next_command="copy a run as a whole, or leave it out",
        ) from None
    return scores, config


def _missing(scores: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return what a comparison needs and the files of a run do not have."""
    needed = ({"model"} - config["flags"].keys()) | ({"model"} - scores.keys())
    if _says_whether_it_rains(config):
        needed |= NEEDED_SCORES - scores.keys() | NEEDED_CONFIG - config.keys()
    if stored_forecasts.has_amounts(scores):
        needed |= {"quantile_levels"} - scores.keys()
    return sorted(needed)


def _says_whether_it_rains(config: Mapping[str, Any]) -> bool:
    return task_of(config["flags"]) in ("classification", "regression")


def _twins(runs: Sequence[StoredRun]) -> list[UsageError]:
    """Refuse one seed of the same flags twice: it would count as two."""
    errors: list[UsageError] = []
    seen: list[StoredRun] = []
    for run in runs:
        same = [other for other in seen if other.seed == run.seed and other.own_flags == run.own_flags]
        if same:
            errors.append(
                UsageError(
                    "CONFIG",
                    "Two of the runs have the same flags and the same seed, and would count as two.",
                    where=f"{same[0].path}, {run.path}",
                    evidence=f"{run.model}, seed {run.seed}",
                    next_command="leave one of them out, or train another with --seed",
                )
            )
        seen.append(run)
    return errors
