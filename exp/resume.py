"""Where a command goes on: at the state of a run that was cut, if its flags and data are still the same."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import models
from data_provider import series_factory
from exp import stored_forecasts, verified_states
from exp.finished_runs import comparable, current_names, stored_settings, with_flags_since
from exp.finished_runs import task_of as task_of_run
from exp.settings import Settings, resolve
from exp.training_state import n_ranks
from exp.verified_states import Point
from utils import distributed, run_directory, run_lock
from utils.errors import CheckpointError, UsageError
from utils.files import sha256

logger = logging.getLogger(__name__)
# Where a run is computed and kept, and how often its state is written, changes no number of it; nor does the Oceanic
# Nino Index, which its forecasts are only sorted by.
OF_NO_CONSEQUENCE = {
    "is_training", "checkpoints", "model_id", "device", "gpu", "seed", "itr", "config", "preset", "task_name", "resume",
    "allow_resume_changes", "checkpoint_minutes", "checkpoint_steps", "save_every_epochs", "save_safetensors",
    "max_minutes", "root_path", "data_path", "guard_level", "detect_anomaly", "dry_run",
    "dry_run_memory_gib", "bootstrap_draws", "language", "oni",
}  # fmt: skip
Difference = tuple[str, Any, Any]


@dataclass(frozen=True)
class Plan:
    """What a command does for each of its seeds.

    Attributes:
        settings: flags of the run that goes on, or as given.
        points: seed -> where it goes on.
        finished: seed -> run that is finished already and not done again.
    """

    settings: Settings
    points: Mapping[int, Point] = field(default_factory=dict)
    finished: Mapping[int, Path] = field(default_factory=dict)


def plan(settings: Settings) -> Plan:
    """Find what `--resume` names, on all ranks before one of them begins.

    Raises:
        UsageError: ``CONFIG`` there is nothing to resume; ``RESUME_MISMATCH`` flags, data or the number of ranks are
            not those of the run.
        CheckpointError: no state of the run can be trusted.
        LockError: the run is at work in another process.
    """
    found = _plan(settings)
    for point in found.points.values():
        _require_ranks(point, allowed=settings.checkpoint.allow_resume_changes)
    distributed.current().of_all(None)
    return found


def _plan(settings: Settings) -> Plan:
    """Find what `--resume` names.

    Raises:
        UsageError: ``CONFIG`` there is nothing to resume; ``RESUME_MISMATCH`` flags or data are not those of the run.
        CheckpointError: no state of the run can be trusted.
        LockError: the run is at work in another process.
    """
    wanted = settings.checkpoint.resume
    if wanted is None or models.kind(settings.run.model) != "network":
        return Plan(settings)
    if wanted == "auto":
        return _automatic(settings)
    point = _named(Path(wanted))
    stored = _stored(point.run)
    given = {name: value for name, value in resolve(settings.given).items() if name != "seed"}
    mine = stored_settings(stored, settings.given, given)
    _require_same_task(mine, stored["flags"], point)
    changed = _flag_differences(given, stored["flags"])
    changed += _data_difference(mine, point.state.get("data_sha256"), _table_of(stored["flags"]))
    if settings.given.get("seed", stored["flags"]["seed"]) != stored["flags"]["seed"]:
        raise UsageError(
            "RESUME_MISMATCH",
            "A run has one seed, and this one has another.",
            where=f"--resume {wanted}",
            evidence=f"run: {stored['flags']['seed']}  now: {settings.given['seed']}",
            next_command=f"{verified_states.resume_command(point.run)} without --seed: another is a run of its own",
        )
    _require_same(changed, point, allowed=settings.checkpoint.allow_resume_changes)
    return Plan(mine, {stored["flags"]["seed"]: point})


def without_weights_not_needed(plan: Plan) -> Settings:
    """Return the settings without pre-trained weights that are gone, where every run goes on from a state."""
    settings = plan.settings
    run, seeds = settings.run, range(settings.run.seed, settings.run.seed + settings.run.itr)
    if not run.adaptation or Path(run.pretrain_model_path).exists() or set(seeds) - {*plan.points, *plan.finished}:
        return settings
    logger.info("  %s is gone and not needed: the state holds all weights", run.pretrain_model_path)
    given = {name: value for name, value in settings.given.items() if name != "pretrain_model_path"}
    return replace(settings, run=replace(run, adaptation=False), given=given)


def finished_runs(settings: Settings, *, to_be_judged: bool = False) -> dict[int, Path]:
    """Return seed -> newest finished run with these flags, on this table and from these weights.

    Args:
        settings: of the runs.
        to_be_judged: pass over a run whose stored forecasts scores cannot be made from, and say why.
    """
    first = settings.run.seed
    alike = _runs_with_these_flags(settings)
    found = {
        seed: _finished([run for run, its in alike.items() if its == seed], settings, to_be_judged=to_be_judged)
        for seed in range(first, first + settings.run.itr)
    }
    return {seed: run for seed, run in found.items() if run is not None and _began_with_these_weights(run, settings)}


def task_of(settings: Settings) -> str:
    """Return the task that the flags name, or without one that of the run that `--resume` or `--run` names."""
    wanted = settings.checkpoint.resume or (None if settings.run.is_training else settings.given.get("run"))
    if wanted in (None, "auto") or "task_name" in settings.given:
        return settings.run.task_name
    place = Path(str(wanted))
    try:
        stored = _stored(place if place.is_dir() else place.parent)
    except UsageError:
        return settings.run.task_name  # told in full where the run is to go on, or to be scored
    return str(stored["flags"].get("task_name", settings.run.task_name))


def require_same_data(now: Mapping[str, Any], point: Point, *, allowed: bool) -> None:
    """Refuse other features, scaling or windows than those of the state.

    Args:
        now: feature order, windows and preprocessing of the data at hand.
        point: the state.
        allowed: tell the differences and go on.

    Raises:
        UsageError: ``RESUME_MISMATCH`` with a table of differences.
    """
    now, before = dict(now), dict(point.state)
    # One line for each part of the fitted scaling tells more than one for all of it.
    now |= {f"preprocessing {name}": value for name, value in now.pop("preprocessing").items()}
    before |= {f"preprocessing {name}": value for name, value in before.pop("preprocessing", {}).items()}
    found = [(name, before.get(name), value) for name, value in now.items() if before.get(name) != value]
    _require_same(found, point, allowed=allowed)


def _require_same_task(settings: Settings, stored: Mapping[str, Any], point: Point) -> None:
    """Refuse another task: its model has other outputs, whatever changes are allowed."""
    before, now = task_of_run(stored), settings.run.task_name
    if before != now:
        raise UsageError(
            "RESUME_MISMATCH",
            "A run has one task, and this is another one.",
            where=f"--resume {point.run}",
            evidence=f"run: {before}  now: {now}",
            next_command=f"{verified_states.resume_command(point.run)} without --task_name",
        )


def _named(place: Path) -> Point:
    """Return the state that a directory or file stands for."""
    if place.is_symlink():
        place = place.resolve()
    if place.is_dir():
        run_lock.require_free(place)
        if (place / run_directory.FINISHED_FILE).exists():
            raise UsageError(
                "CONFIG",
                "This run is finished.",
                where=f"--resume {place}",
                evidence=f"it has {run_directory.FINISHED_FILE}",
                next_command=f"python run.py --is_training 0 --run {place} scores it again; "
                f"{verified_states.resume_command(place / verified_states.LAST)} --allow_resume_changes --train_epochs "
                f"{2 * _epochs_of(place)} trains it longer (with a larger --patience where it stopped early)",
            )
        point = verified_states.newest(place)
        if point is not None:
            _tell_passed_over(point)
            return point
    elif place.is_file():
        run_lock.require_free(place.parent)
        return verified_states.read(place)
    raise _nothing(place)


def _nothing(place: Path) -> UsageError:
    """Return what is to be said of a place without a state: a folder of runs, a run without a save, nothing."""
    evidence, way_out = "no such file or directory", "name a run directory or a file in it"
    runs = sorted(path.parent for path in [*place.glob("*/config.json"), *place.glob("*/*/config.json")])
    if runs:
        evidence = f"it holds {len(runs)} runs"
        way_out = "name one of them, such as " + verified_states.resume_command(runs[-1])
    elif place.is_dir():
        evidence = "no state was saved there yet"
        way_out = "type the command that began it again"
    return UsageError(
        "CONFIG",
        "There is nothing to resume.",
        where=f"--resume {place}",
        evidence=evidence,
        next_command=f"{way_out}; --resume auto starts anew where there is nothing",
    )


def _epochs_of(run: Path) -> int:
    return int(_stored(run)["flags"].get("train_epochs", 1))


def _require_ranks(point: Point, *, allowed: bool) -> None:
    """Refuse another number of ranks: each has random numbers of its own, and their sums are rounded otherwise."""
    before, now = n_ranks(point.state), distributed.current().count
    if before == now:
        return
    if allowed:
        logger.warning("RESUME_MISMATCH allowed by --allow_resume_changes: ranks then %d, now %d", before, now)
        return
    raise UsageError(
        "RESUME_MISMATCH",
        "The run was trained by another number of processes.",
        where=str(point.file),
        evidence=f"ranks  run: {before}  now: {now}",
        next_command=f"{verified_states.command_of(before)} --resume {point.run}; --allow_resume_changes goes on all "
        "the same, and is not the same to the last bit",
    )


def _stored(run: Path) -> dict[str, Any]:
    """Return what config.json of a run says.

    Raises:
        UsageError: there is none that can be read, so nobody knows which flags the states belong to.
    """
    path = run / "config.json"
    try:
        stored: dict[str, Any] = run_directory.read_json(path)
        stored["flags"] = current_names(stored["flags"])
        stored["flags"]["seed"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            "CONFIG",
            "This is no directory of a run: its flags are not there.",
            where=str(path),
            evidence=f"{type(error).__name__}: {error}",
            next_command="copy a state, with its JSON, into the directory of its run; a run is copied as a whole",
        ) from None
    return stored


def _automatic(settings: Settings) -> Plan:
    """Find the newest unfinished run of this model_id with these flags; with several seeds, the one that was cut.

    Of several seeds those that are finished are kept, unless all are: then the command asks for new ones.
    """
    first = settings.run.seed
    seeds = range(first, first + settings.run.itr)
    alike = _runs_with_these_flags(settings)
    equal = {seed: [run for run, its_seed in alike.items() if its_seed == seed] for seed in seeds}
    done = {} if len(seeds) == 1 else {seed: _finished(equal[seed], settings) for seed in seeds}
    finished = {seed: run for seed, run in done.items() if run is not None}
    for seed in seeds:
        newer = equal[seed]
        if seed in finished:
            newer = newer[: newer.index(finished[seed])]
        point = _newest_unfinished(newer, settings)
        if point is not None:
            finished.pop(seed, None)
            return Plan(settings, {seed: point}, finished)
    if len(finished) == len(seeds):
        finished = {}
    kept = f"; kept: seed {', '.join(map(str, finished))}" if finished else ""
    name = settings.run.model_id
    logger.info("--resume auto: no unfinished run of %s with these flags; starting anew%s.", name, kept)
    return Plan(settings, finished=finished)


def _newest_unfinished(runs: list[Path], settings: Settings) -> Point | None:
    for run in runs:
        if (run / run_directory.FINISHED_FILE).exists():
            continue
        run_lock.require_free(run)
        try:
            point = verified_states.newest(run)
        except CheckpointError as error:
            logger.warning("--resume auto: passed over %s: %s", run, error.evidence)
            continue
        if point is None:
            logger.info("--resume auto: passed over %s: no state was saved yet", run)
            continue
        if _data_difference(settings, point.state.get("data_sha256")):
            logger.info("--resume auto: passed over %s: the table is another one", run)
            continue
        _tell_passed_over(point)
        return point
    return None


def _finished(runs: list[Path], settings: Settings, *, to_be_judged: bool = False) -> Path | None:
    """Return the newest finished run on the same table."""
    for run in runs:
        if (run / run_directory.FINISHED_FILE).exists():
            about = run_directory.read_json(run / "environment.json")
            if _data_difference(settings, about["data_sha256"]):
                continue
            lacks = stored_forecasts.lacks(run) if to_be_judged else ""
            if not lacks:
                return run
            logger.warning("passed over %s: %s, so it cannot be judged and is trained again", run, lacks)
    return None


def _began_with_these_weights(run: Path, settings: Settings) -> bool:
    weights = Path(settings.run.pretrain_model_path)
    if not settings.run.adaptation or not weights.is_file():
        return True
    began = run_directory.read_json(run / "environment.json").get("weights_sha256")
    return began is None or began == sha256(weights)


def _runs_with_these_flags(settings: Settings) -> dict[Path, int]:
    """Return the runs of this model_id that differ in nothing but their seed, newest first, with that seed."""
    found = {}
    for run in run_directory.all_runs(settings.run.checkpoints, settings.run.model_id):
        try:
            stored = _stored(run)["flags"]
        except UsageError as error:
            logger.warning("--resume auto: passed over %s: %s", run, error.evidence)
            continue
        if task_of_run(stored) != settings.run.task_name:
            continue
        different = _flag_differences(settings.as_flags(), stored)
        if not different:
            found[run] = stored["seed"]
        elif not any(name.removeprefix("--") in stored for name, _, _ in different):
            told = ", ".join(f"{name} {then} then, {now} now" for name, then, now in different)
            logger.info("passed over %s of an earlier version: %s", run, told)
    return found


def _flag_differences(now: Mapping[str, Any], stored: Mapping[str, Any]) -> list[Difference]:
    then = with_flags_since(stored)
    names = sorted((set(now) & set(then)) - OF_NO_CONSEQUENCE)
    return [
        (f"--{name}", then[name], run_directory.finite(now[name]))
        for name in names
        if comparable(name, run_directory.finite(then[name])) != comparable(name, run_directory.finite(now[name]))
    ]


def _data_difference(settings: Settings, stored: Any, its_table: str = "") -> list[Difference]:
    if settings.run.task_name == "forecast":
        path, now = settings.series.path, series_factory.fingerprint(settings.series)
    else:
        path = settings.data.path
        if not path.is_file():
            return []  # told in full, with all else that is missing, before anything is read
        now = sha256(path)
    if now == stored:
        return []
    return [("data", its_table, str(path)), ("their SHA-256", _start(stored), _start(now))]


def _table_of(flags: Mapping[str, Any]) -> str:
    return str(Path(flags.get("root_path") or "") / (flags.get("data_path") or ""))


def _start(digest: Any) -> str:
    """Return as much of a hash as tells two apart."""
    return f"{str(digest)[:16]}..."


def _require_same(found: list[Difference], point: Point, *, allowed: bool) -> None:
    if not found:
        return
    width = max(len(name) for name, _, _ in found)
    table = "\n".join(f"    {name:<{width}}  run: {_short(before)}  now: {_short(now)}" for name, before, now in found)
    if allowed:
        logger.warning("RESUME_MISMATCH allowed by --allow_resume_changes:\n%s", table)
        return
    raise UsageError(
        "RESUME_MISMATCH",
        "This is not what the run was started with; going on would mix two experiments.",
        where=str(point.file),
        evidence=f"differences: {len(found)}\n{table}",
        next_command=f"{verified_states.resume_command(point.run)} without these flags and with the table it began "
        "with; --allow_resume_changes goes on all the same",
    )


def _tell_passed_over(point: Point) -> None:
    for line in point.passed_over:
        logger.warning("passed over: %s", line)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
