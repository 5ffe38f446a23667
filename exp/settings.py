"""All flags of a run as frozen configs, and which of them a task and a model use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import models
from data_provider.cleaning import CleaningConfig
from data_provider.factory import DataConfig
from data_provider.scaling import ScalingConfig
from data_provider.series_splits import SeriesConfig
from data_provider.splits import SplitConfig
from exp import presets
from exp.compare.config import CompareConfig
from exp.forecast_config import ForecastConfig
from exp.guard import GuardConfig
from exp.openltm_flags import OpenLTMFlags
from exp.regression_config import RegressionConfig
from exp.state_keeper import CheckpointConfig
from exp.trainer import TrainerConfig
from exp.transfer_config import TransferConfig
from exp.verification_config import VerificationConfig
from layers.losses import LossConfig
from utils import flags
from utils.errors import UsageError
from utils.flag_rules import require
from utils.reproducibility import DeviceName

# Defaults that a task has of its own.
TASK_DEFAULTS: dict[str, dict[str, Any]] = {
    "forecast": {"model": models.OF_SERIES[0], "model_id": "pretrained"},
    "predict": {"sample_stride_hours": 1},
}
TaskName = Literal["classification", "regression", "forecast", "predict", "diagnose", "compare", "report"]
# Those that train and score a model; the others apply or examine one.
TRAINED: tuple[TaskName, ...] = ("classification", "regression", "forecast")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Run."""

    task_name: TaskName = field(
        default="classification",
        metadata={
            "help": "classification trains and scores a rain forecast, whether thresholds are reached; regression one "
            "of the amount in millimetres, as quantiles; forecast pre-trains Timer-XL on series and scores it on them; "
            "predict applies a finished run to new files; compare puts finished runs side by side; "
            "diagnose looks at data, checkpoint, one forward and one backward pass, with the flags of a training; "
            "report writes the page of a finished run anew"
        },
    )
    is_training: Literal[0, 1] = field(
        default=1, metadata={"help": "1 trains; 0 scores the newest finished run that agrees with the flags given"}
    )
    model: str = field(
        default="timer_xl_classifier",
        metadata={
            "help": f"one file in models/: {', '.join(models.classifiers())}; for a regression "
            f"{', '.join(models.AMOUNTS_ONLY)} in place of {', '.join(models.CLASSES_ONLY)}; for series: "
            + ", ".join(models.OF_SERIES)
        },
    )
    model_id: str = field(default="peru_rainfall", metadata={"help": "name of the experiment; folder of its runs"})
    checkpoints: str = field(default="checkpoints/", metadata={"help": "folder of all runs"})
    preset: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "sets of flags by name, later ones win: "
            + "; ".join(f"{name} ({about})" for name, about in presets.ABOUT.items()),
            "repeat": True,
        },
    )
    config: str | None = field(default=None, metadata={"help": "YAML file with defaults for any flags"})
    n_classes: int | None = field(
        default=None, metadata={"help": "classes; checked against the table, which has one more than thresholds"}
    )
    seed: int = field(default=0, metadata={"help": "first seed; one run has one seed"})
    itr: int = field(default=1, metadata={"help": "number of runs, with seeds seed, seed+1, ..."})
    device: DeviceName = field(default="auto", metadata={"help": "auto takes a GPU where there is one"})
    gpu: int | None = field(
        default=None, metadata={"help": "number of the GPU; without a GPU the CPU is used and said"}
    )
    adaptation: bool = field(default=False, metadata={"help": "start from the weights in pretrain_model_path"})
    pretrain_model_path: str = field(
        default="checkpoints/timer_xl/checkpoint.pth",
        metadata={
            "help": "pre-trained weights for --adaptation; our own small encoder, with --preset encoder, is "
            "checkpoints/small_encoder/encoder.pt"
        },
    )
    dry_run: bool = field(
        default=False,
        metadata={
            "help": "train nothing and write nothing: tell parameters, arithmetic, memory, disk and time of this "
            "training, and what fits"
        },
    )
    dry_run_memory_gib: float | None = field(
        default=None, metadata={"help": "memory of another card that --dry_run looks at too; a T4 has 15"}
    )

    def __post_init__(self) -> None:
        if self.task_name == "forecast" and self.model not in models.OF_SERIES:
            raise UsageError(
                "CONFIG",
                f"{self.model} forecasts no series.",
                where="--model",
                evidence=f"models that forecast series: {', '.join(models.OF_SERIES)}",
                next_command=f"--model {models.OF_SERIES[0]}, which is the default of --task_name forecast",
            )
        if self.task_name == "classification" and self.model not in models.classifiers():
            self._refuse_model("has no head for classes", models.classifiers())
        if self.task_name == "regression" and self.model not in models.regressors():
            self._refuse_model("gives no amounts of rain", models.regressors())
        require(self, "itr", self.itr >= 1, "must be at least 1", "--itr 3")
        self._check_dry_run()

    def _refuse_model(self, lacks: str, others: list[str]) -> None:
        if self.model not in models.names():
            models.load(self.model)  # an unknown name is told with the nearest one
        what, nearest = f"{self.model} {lacks}.", "ridge_regression"
        if self.model in models.OF_SERIES:
            what, nearest = f"{self.model} forecasts series and {lacks}.", f"{self.model}_classifier"
        elif self.model in models.AMOUNTS_ONLY:
            nearest = "logistic_regression, or --task_name regression"
        raise UsageError(
            "CONFIG",
            what,
            where="--model",
            evidence=f"models for --task_name {self.task_name}: {', '.join(others)}",
            next_command=f"--model {nearest}",
        )

    def _check_dry_run(self) -> None:
        if self.dry_run and not (self.task_name in TRAINED and self.is_training):
            raise UsageError(
                "CONFIG",
                "--dry_run tells what a training costs, and this command does not train.",
                where="--dry_run",
                evidence=f"--task_name {self.task_name} --is_training {self.is_training}",
                next_command="leave --dry_run away, or --task_name classification --is_training 1 --dry_run",
            )
        memory = self.dry_run_memory_gib
        if memory is not None and not (self.dry_run and memory > 0):
            raise UsageError(
                "CONFIG",
                "--dry_run_memory_gib is the memory of a card for --dry_run to look at, in GiB and above 0.",
                where="--dry_run_memory_gib",
                evidence=f"got {memory}, --dry_run {'yes' if self.dry_run else 'no'}",
                next_command="--dry_run --dry_run_memory_gib 15",
            )


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Prediction."""

    run: str | None = field(
        default=None,
        metadata={
            "help": "run directory: whose model predicts, which --is_training 0 scores again, whose report is written"
        },
    )
    input_dir: str = field(default="datasets/raw_era5", metadata={"help": "folder of ERA5 files to predict from"})
    output: str | None = field(
        default=None,
        metadata={"help": "output without suffix: .csv and .nc are written (default: predicted-<time> in the run)"},
    )


@dataclass(frozen=True, kw_only=True)
class DiagnoseConfig:
    """Diagnosis."""

    bundle: str | None = field(
        default=None, metadata={"help": "replay bundle of a bad step to open again, for diagnose: RUN/bundle-step<n>"}
    )


@dataclass(frozen=True)
class Dimensions:
    """What only the data know, handed to a model beside its flags.

    Attributes:
        n_classes: classes of the label.
        n_variables: V.
        context_length: L in rows.
        n_marks: M, calendar and region marks.
        n_regions: regions of the table.
        step_hours: hours between rows.
        pressure_index: position of surface pressure among the variables.
        variables: their V names.
        centre: what was subtracted from each, in the units of the table.
        spread: what each was divided by.
        n_leads: lead times that a model tells at once.
    """

    n_classes: int
    n_variables: int
    context_length: int
    n_marks: int
    n_regions: int
    step_hours: int
    pressure_index: int | None
    variables: tuple[str, ...] = ()
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    n_leads: int = 1


@dataclass(frozen=True)
class Settings:
    """Every config of a run, and the flags that were typed."""

    run: RunConfig
    data: DataConfig
    split: SplitConfig
    cleaning: CleaningConfig
    scaling: ScalingConfig
    verification: VerificationConfig
    trainer: TrainerConfig
    guard: GuardConfig
    checkpoint: CheckpointConfig
    transfer: TransferConfig
    loss: LossConfig
    regression: RegressionConfig
    predict: PredictConfig
    diagnose: DiagnoseConfig
    compare: CompareConfig
    series: SeriesConfig
    forecast: ForecastConfig
    openltm: OpenLTMFlags
    model: Any
    given: Mapping[str, Any]

    @classmethod
    def from_values(cls, values: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
        """Build all configs from flag values; what is not among them keeps its default.

        Raises:
            UsageError: a config refuses its values.
        """
        run = flags.build(RunConfig, values)
        # The number of classes is the table's; a model hears it from the dimensions of the data.
        of_the_model = {name: value for name, value in values.items() if name != "n_classes"}
        return cls(
            run=run,
            data=flags.build(DataConfig, values),
            split=flags.build(SplitConfig, values),
            cleaning=flags.build(CleaningConfig, values),
            scaling=flags.build(ScalingConfig, values),
            verification=flags.build(VerificationConfig, values),
            trainer=flags.build(TrainerConfig, values),
            guard=flags.build(GuardConfig, values),
            checkpoint=flags.build(CheckpointConfig, values),
            transfer=flags.build(TransferConfig, values),
            loss=flags.build(LossConfig, values),
            regression=flags.build(RegressionConfig, values),
            predict=flags.build(PredictConfig, values),
            diagnose=flags.build(DiagnoseConfig, values),
            compare=flags.build(CompareConfig, values),
            series=flags.build(SeriesConfig, values),
            forecast=flags.build(ForecastConfig, values),
            openltm=flags.build(OpenLTMFlags, values),
            model=flags.build(models.config_class(run.model), of_the_model),
            given=given,
        )

    @property
    def is_regression(self) -> bool:
        """True where the target is an amount of rain."""
        return self.run.task_name == "regression"

    def as_flags(self) -> dict[str, Any]:
        """Return flag -> value of everything a run depends on."""
        of_rain = (
            self.data,
            self.split,
            self.cleaning,
            self.scaling,
            self.verification,
            self.transfer,
            self.regression if self.is_regression else self.loss,
        )
        is_forecast = self.run.task_name == "forecast"
        own = (self.series, self.forecast) if is_forecast else of_rain
        values = flags.as_dict(self.model, self.run, *own, self.trainer, self.guard, self.checkpoint)
        # How this command came to the run says nothing about the run.
        for name in ("resume", "allow_resume_changes"):
            values.pop(name)
        return values if is_forecast else values | {"n_classes": self.run.n_classes}

    def with_seed(self, seed: int) -> Settings:
        """Return the settings of one run."""
        return replace(self, run=replace(self.run, seed=seed, itr=1))

    def model_arguments(self, dimensions: Dimensions, n_outputs: int) -> SimpleNamespace:
        """Return the object a model is built from: its flags, the dimensions of the data and the seed."""
        values = flags.as_dict(self.model) | flags.as_dict(self.regression) | vars(dimensions)
        values |= {"n_classes": n_outputs, "seed": self.run.seed}
        return SimpleNamespace(**values)


def context_length(settings: Settings) -> int:
    """Return the context in rows: `seq_len`, cut to whole tokens where the model has tokens.

    Raises:
        UsageError: the context is shorter than one token.
    """
    seq_len = (settings.series if settings.run.task_name == "forecast" else settings.data).seq_len
    token = getattr(settings.model, "input_token_len", 1)
    if seq_len >= token:
        return seq_len // token * token
    raise UsageError(
        "CONFIG",
        "The context is shorter than one token.",
        where="--seq_len, --input_token_len",
        evidence=f"seq_len {seq_len}, input_token_len {token}",
        next_command=f"--seq_len {token} or more, or --input_token_len {seq_len}",
    )


def shown_groups(task_name: str, model: str) -> list[type]:
    """Return the groups of flags that a task and a model use."""
    if task_name == "predict":
        return [RunConfig, PredictConfig, DataConfig]
    if task_name == "compare":
        return [RunConfig, CompareConfig]
    if task_name == "report":
        return [RunConfig, PredictConfig, VerificationConfig]
    if task_name == "forecast":
        own = [SeriesConfig, ForecastConfig]
        return [RunConfig, *own, models.config_class(model), TrainerConfig, GuardConfig, CheckpointConfig]
    training = [TransferConfig, TrainerConfig, GuardConfig, CheckpointConfig] if models.kind(model) == "network" else []
    if task_name == "regression":
        training = [RegressionConfig, *training]
    elif training:
        training = [*training, LossConfig]
    alone = [DiagnoseConfig] if task_name == "diagnose" else []
    data = [DataConfig, SplitConfig, CleaningConfig, ScalingConfig, VerificationConfig]
    return [RunConfig, *alone, *data, models.config_class(model), *training]


def all_groups() -> list[type]:
    """Return every group, those of other models included."""
    common = [
        RunConfig,
        PredictConfig,
        DiagnoseConfig,
        CompareConfig,
        DataConfig,
        SplitConfig,
        CleaningConfig,
        ScalingConfig,
        VerificationConfig,
        TrainerConfig,
        GuardConfig,
        CheckpointConfig,
        TransferConfig,
        LossConfig,
        RegressionConfig,
        SeriesConfig,
        ForecastConfig,
    ]
    return [*common, OpenLTMFlags, *(models.config_class(name) for name in models.names())]


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge presets, a YAML file and the typed flags; later ones win in this order.

    Raises:
        UsageError: unknown preset, or a file with names or values that are no flags.
    """
    values: dict[str, Any] = {}
    groups = all_groups()
    from_file = {}
    if given.get("config"):
        path = Path(given["config"])
        from_file = flags.typed(groups, flags.read_yaml(path), str(path))
    for name in (*from_file.get("preset", ()), *given.get("preset", ())):
        values |= flags.typed(groups, presets.flags_of(name), f"preset {name}")
    values = values | from_file | dict(given)
    if values.get("task_name") == "forecast":
        values.setdefault(
            "model", TASK_DEFAULTS["forecast"]["model"]
        )  # not the folder: a run that is named has its own
    return values


def task_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults that a task has of its own, given flag values that may name one."""
    return TASK_DEFAULTS.get(str(values.get("task_name")), {})
