"""Rolling origin by years: each year is forecast by a run that has seen none of it, nor of the year before.

For every year y that leaves enough training years: train on all years before y - 1, validate on y - 1, test on y. Each
fold is an ordinary run in a directory of its own, with `--train_until`, `--validation_until` and `--test_until`; one
that is finished is not done again. They lie in a folder of their own, `<model_id>-by_years`, so that none of them is
taken for the run of the model. The test forecasts of all years together are then scored as one.
Source: Bergmeir, Hyndman and Koo (2018), A note on the validity of cross-validation for evaluating autoregressive time
series prediction; Tashman (2000), Out-of-sample tests of forecasting accuracy (rolling origin).
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data_provider.rain_table import read_table
from data_provider.splits import SplitConfig
from exp import pooled_scores, rain_classification, rain_regression, resume, where_and_when
from exp.pooled_scores import Fold
from exp.settings import Settings
from exp.where_and_when import Surroundings
from utils import distributed, run_directory, signals
from utils.errors import DataError, UsageError

logger = logging.getLogger(__name__)
EXPERIMENTS: dict[str, Callable[..., list[Path]]] = {
    "classification": rain_classification.train,
    "regression": rain_regression.train,
}


@dataclass(frozen=True)
class Years:
    """The years of a fold, as the flags of its run name them."""

    train_until: str
    validation_until: str
    test_until: str

    @classmethod
    def testing(cls, year: int) -> Years:
        """Those of the fold that tests a year."""
        return cls(str(year - 2), str(year - 1), str(year))

    @property
    def test(self) -> int:
        """The year that is tested."""
        return int(self.test_until)


def years_of(times: np.ndarray, min_train_years: int, *, where: str) -> list[Years]:
    """List the years that can be tested.

    A year counts where the record holds something of its January and of its December. Of an incomplete first year the
    hours there are take part in training; an incomplete last year is not tested.

    Args:
        times: `(T,)` datetime64, the whole record.
        min_train_years: whole years of training of the first fold.
        where: the table, for messages.

    Raises:
        DataError: ``TOO_FEW_YEARS`` with how many there are and how many are needed.
    """
    months = np.unique(np.asarray(times).astype("datetime64[M]")).astype(np.int64)
    january, december = (set((1970 + months[months % 12 == place] // 12).tolist()) for place in (0, 11))
    whole = sorted(january & december)
    tested = whole[min_train_years + 1 :]
    if tested:
        return [Years.testing(year) for year in tested]
    needed = min_train_years + 2
    raise DataError(
        "TOO_FEW_YEARS",
        "The record has too few whole years to be tested one after another.",
        where=f"--cross_validate years, {where}",
        evidence=f"{len(whole)} whole year{'s' * (len(whole) != 1)} from {times[0]} to {times[-1]}; needed: {needed}, "
        f"{min_train_years} to train on, one to validate on and one to test",
        next_command="prepare more years"
        + (" or --cross_validate_min_train_years 1" if min_train_years > 1 and len(whole) >= 3 else ""),
    )


def train(settings: Settings) -> Path:
    """Train what is missing of all folds and seeds, pool their test forecasts and write one table.

    Args:
        settings: of every fold but for its years.

    Returns:
        `cross_validation-<model>-<time>.json` beside the runs.

    Raises:
        UsageError: ``CONFIG``, flags that do not go with it.
        DataError: too few years, or whatever a run finds.
        Interrupted: with the command that goes on.
    """
    _require_fitting(settings)
    rain_classification.require_inputs(settings)
    years, about = _plan(settings)
    folds = list(_runs(settings, years))
    ranks = distributed.current()
    # The others wait until the last fold is scored.
    return Path(ranks.told_by(0, pooled_scores.write(settings, folds, about) if ranks.is_first else None))


def _plan(settings: Settings) -> tuple[list[Years], Surroundings]:
    """Return the years to be tested, and what is known of their forecasts; the first run has not begun yet."""
    table = read_table(settings.data.path)
    years = years_of(table.times, settings.split.cross_validate_min_train_years, where=str(table.source))
    year_of = table.times.astype("datetime64[Y]").astype(np.int64) + 1970
    tested = table.times[np.isin(year_of, [each.test for each in years])]
    about = where_and_when.surroundings(settings.verification.oni, table, tested)
    folder = Path(settings.run.checkpoints, _folder(settings))
    tested_years = ", ".join(str(each.test) for each in years)
    logger.info("Rolling origin: %s tested, each by a run of its own in %s", tested_years, folder)
    if year_of[-1] != years[-1].test:
        logger.info("  %d is not tested: the record ends %s", year_of[-1], table.times[-1])
    return years, about


def _require_fitting(settings: Settings) -> None:
    """Refuse what trains no run, or names one of them."""
    run = settings.run
    refused = {
        f"--task_name {run.task_name}": run.task_name not in EXPERIMENTS,
        "--is_training 0": not run.is_training,
        "--dry_run": run.dry_run,
        f"--resume {settings.checkpoint.resume}": settings.checkpoint.resume not in (None, "auto"),
    }
    contradicting = [words for words, is_there in refused.items() if is_there]
    if contradicting:
        raise UsageError(
            "CONFIG",
            "--cross_validate trains one run after another, and this asks for something else.",
            where="--cross_validate",
            evidence=", ".join(contradicting),
            next_command="leave --cross_validate out, or the other; a command that was cut goes on when typed again",
        )


def _runs(settings: Settings, years: Sequence[Years]) -> Iterator[Fold]:
    """Yield the finished run of every year and seed, trained where it is missing."""
    first = settings.run.seed
    for each in years:
        for seed in range(first, first + settings.run.itr):
            own = of_fold(settings, each).with_seed(seed)
            # The first rank has scored the fold before by the time it looks; the others do what it does.
            ranks = distributed.current()
            found = resume.finished_runs(own, to_be_judged=True).get(seed) if ranks.is_first else None
            run = ranks.told_by(0, found)
            if run is not None:
                logger.info("%d, seed %d is finished: %s", each.test, seed, run)
            else:
                logger.info("\n%d: trained until %s, seed %d", each.test, each.train_until, seed)
                run = _trained(own)
            yield Fold(each.test, seed, run)


def of_fold(settings: Settings, years: Years) -> Settings:
    """Return the settings of a run that tests one year, in the folder of these; an unfinished one is taken up again."""
    split = replace(
        settings.split,
        cross_validate=None,
        # The least number of years is no part of the run, so that a command with another one finds it finished.
        cross_validate_min_train_years=SplitConfig.cross_validate_min_train_years,
        train_until=years.train_until,
        validation_until=years.validation_until,
        test_until=years.test_until,
    )
    given = {name: value for name, value in settings.given.items() if not name.startswith("cross_validate")}
    given |= asdict(years) | {"model_id": _folder(settings)}
    run = replace(settings.run, model_id=_folder(settings))
    return replace(settings, run=run, split=split, checkpoint=replace(settings.checkpoint, resume="auto"), given=given)


def _folder(settings: Settings) -> str:
    return settings.run.model_id + run_directory.BY_YEARS


def _trained(settings: Settings) -> Path:
    try:
        return EXPERIMENTS[settings.run.task_name](settings, is_brief=True)[0]
    except signals.Interrupted as stop:
        command = shlex.join(["python", *sys.argv])
        raise signals.Interrupted(where=stop.where, evidence=stop.evidence, next_command=command) from None
