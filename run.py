#!/usr/bin/env python
"""Timer-XL transfer learning on ERA5 rain: flags -> frozen configs -> one experiment -> exit code."""

from __future__ import annotations

from utils import signals

if __name__ == "__main__":
    signals.install()  # before anything slow is imported, so that a signal at any time ends with its message

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils import last_words, outcome
from utils.errors import UsageError

if TYPE_CHECKING:
    from exp.settings import Settings

DESCRIPTION = "Will it rain in the next 24 hours? Train, score and use Timer-XL and its references on ERA5."
EPILOG = """examples:
  bash scripts/quickstart.sh                                    everything once, on labelled synthetic data
  python run.py --preset small                                  option B: a small model from scratch
  python run.py --model gradient_boosting --seq_len 720         an honest reference, same windows and scores
  python run.py --preset small --dry_run                        what will it cost? nothing is trained or written
  python run.py --task_name diagnose --preset small             is anything wrong before the first step?
  python run.py --preset small --resume auto                    go on where the newest such run was cut
  python run.py --preset small --resume auto --max_minutes 90   ... and stop in time, on a machine lent for two hours
  python run.py --preset small --cross_validate years           test one year after another, each by its own run
  python run.py --task_name regression --preset tiny            how much will it rain, in millimetres?
  python run.py --task_name forecast --root_path DIR            pre-train Timer-XL on a folder of series
  python run.py --is_training 0 --preset small                  score the newest such run again
  python run.py --task_name compare RUN RUN ...                 side by side: which differences are real
  python run.py --task_name predict --run RUN --input_dir DIR   probabilities from new ERA5 files
  python run.py --task_name report --run RUN --language es      the page of a finished run anew, in Spanish

Each model has flags of its own: python run.py --model resnet1d --help"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; foreseen faults end with a message, not a traceback."""
    logging.raiseExceptions = False  # a terminal that goes away must not end a run, nor bury it in complaints
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    code = outcome.of(lambda: _dispatch(list(sys.argv[1:] if argv is None else argv)))
    _leave(code)
    return code


def _leave(code: int) -> None:
    """Leave the exit code of a rank where scripts/launch_distributed.sh looks: torchrun tells it nobody."""
    folder = os.environ.get("TIMERXL_EXIT_FOLDER")
    if folder:
        Path(folder, os.environ.get("LOCAL_RANK", "0")).write_text(str(code))


def _dispatch(words: list[str]) -> None:
    from exp import command_line, comparison, cross_validation, dry_run, openltm_flags, prediction, resume
    from exp.diagnosis.command import diagnose
    from exp.report import write as report
    from exp.settings import TRAINED
    from utils import distributed

    settings = command_line.read(words, description=DESCRIPTION, epilog=EPILOG)
    task = resume.task_of(settings)
    if task != "forecast":
        openltm_flags.explain(settings.given, settings.data.seq_len)
    if settings.diagnose.bundle and settings.run.task_name != "diagnose":
        raise UsageError(
            "CONFIG",
            "A replay bundle is opened by the diagnosis alone.",
            where="--bundle",
            next_command=f"python run.py --task_name diagnose --bundle {settings.diagnose.bundle}",
        )
    if settings.given.get("resume") and not (settings.run.task_name in TRAINED and settings.run.is_training):
        raise UsageError(
            "CONFIG",
            "--resume goes on with a training, and this command trains nothing.",
            where="--resume",
            next_command="leave it out; --run RUN names a finished run to score again or to predict with",
        )
    signals.raise_at_once()
    if settings.checkpoint.max_minutes is not None:
        signals.end_after(60 * settings.checkpoint.max_minutes, f"--max_minutes {settings.checkpoint.max_minutes:g}")
    if distributed.is_launched():
        _train_together(settings, task)
    elif settings.run.task_name == "predict":
        prediction.predict(settings)
    elif settings.run.task_name == "compare":
        comparison.compare(settings.compare)
    elif settings.split.cross_validate and task != "forecast":
        cross_validation.train(settings)
    elif settings.run.task_name == "diagnose":
        diagnose(settings)
    elif settings.run.task_name == "report":
        report.again(settings)
    elif settings.run.dry_run:
        dry_run.tell(settings)
    else:
        _train_or_score(settings, task)


def _train_together(settings: Settings, task: str) -> None:
    """Train as one of several processes that torchrun has started; all that is no training of a network is refused."""
    import models
    from exp import cross_validation
    from exp.settings import TRAINED
    from utils import distributed
    from utils.reproducibility import choose_device

    run = settings.run
    is_training = run.task_name in TRAINED and run.is_training and not run.dry_run
    if not is_training or models.kind(run.model) != "network":
        raise UsageError(
            "CONFIG",
            "Several processes train a network together; this command is the work of one.",
            where="torchrun, WORLD_SIZE",
            evidence=f"--task_name {run.task_name}, --model {run.model}",
            next_command="python run.py ... without torchrun",
        )
    if settings.trainer.batch_size < distributed.launched():
        raise UsageError(
            "CONFIG",
            "A batch has fewer windows than there are processes.",
            where="--batch_size, torchrun",
            evidence=f"{settings.trainer.batch_size} windows, {distributed.launched()} processes",
            next_command=f"--batch_size {distributed.launched()} or more, or fewer processes",
        )
    distributed.begin(choose_device(run.device, run.gpu))
    try:
        if settings.split.cross_validate and task != "forecast":
            cross_validation.train(settings)
        else:
            _train_or_score(settings, task)
    finally:
        distributed.end()


def _train_or_score(settings: Settings, task: str) -> None:
    """Run the experiment of a task; the task may be that of the run that is resumed."""
    from exp import forecasting, rain_classification, rain_regression

    experiments: dict[str, Any] = {
        "classification": rain_classification,
        "regression": rain_regression,
        "forecast": forecasting,
    }
    experiment = experiments[task]
    experiment.train(settings) if settings.run.is_training else experiment.score_again(settings)


def _end(code: int) -> None:
    """End the process; a rank does so at once, since threads of its connections may abort while Python takes leave."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        logging.shutdown()
        last_words.say()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _end(main())
