"""The options of the case, A to F: what each is, what was promised of it, and the flags that run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp.settings import RunConfig, all_groups, resolve
from exp.trainer import TrainerConfig
from utils import checkpoint, flags
from utils.errors import CheckpointError, UsageError

SMOKE, ENCODER = "smoke", "encoder"
RELEASED_WEIGHTS = Path(RunConfig().pretrain_model_path)
SMALL_ENCODER = Path("checkpoints/small_encoder/encoder.pt")
# The smoke preset trains for one epoch; an option that thaws its encoder needs a second one to do it in.
SMOKE_EPOCHS = 2
# The released encoder is univariate and was trained with instance norm: each variable is read alone, and the levels
# that the norm takes away stand beside what it says.
AS_PRETRAINED: dict[str, Any] = {"use_norm": True, "variate_mode": "independent", "level_statistics": True}
FIRST_EPOCHS = 5


@dataclass(frozen=True)
class Option:
    """One way to train, as it was proposed.

    Attributes:
        letter: A to F.
        script: that runs it.
        title: in a few words.
        preset: sizes and rates it starts from.
        flags: its own, on top of the preset.
        has_weights: starts from pre-trained weights.
        notes_f1: F1 of rain that the notes expect; None where they name none.
        notes_hours: hours of training on a T4 that they expect.
    """

    letter: str
    script: str
    title: str
    preset: str
    flags: Mapping[str, Any]
    has_weights: bool = False
    notes_f1: tuple[float, float] | None = None
    notes_hours: tuple[float, float] | None = None


OPTIONS: dict[str, Option] = {
    option.letter: option
    for option in (
        Option("A", "option_a_from_scratch", "from scratch", "full", {}, False, (0.70, 0.75), (3, 4)),
        Option("B", "option_b_small", "small, from scratch", "small", {}, False, (0.68, 0.73), (1, 2)),
        Option(
            "C",
            "option_c_transfer",
            "all of the file loaded, low rate",
            "full",
            # As in the notes: 1e-7 times the number of the epoch in the first five, then 1e-6. A few thousand steps at
            # that barely move fresh weights, but it is theirs that is to be compared.
            {"learning_rate": 1e-6, "warmup_epochs": FIRST_EPOCHS, "warmup_start_lr": 1e-7},
            True,
            (0.72, 0.78),
            (4, 6),
        ),
        Option(
            "D",
            "option_d_partial_load",
            "embedding and lower half of the layers loaded",
            "full",
            # Fresh layers above loaded ones: a rate that falls towards the bottom teaches these and spares those.
            {"load_parts": "", "learning_rate": 1e-4, "layer_decay": 0.8},
            True,
        ),
        Option(
            "E",
            "option_e_frozen_warmup",
            "frozen encoder first, then everything, gently",
            "full",
            {
                "freeze_encoder_epochs": FIRST_EPOCHS,
                "learning_rate": 1e-5,
                "rate_ratios": "1,10,100",
                "stage_warmup_epochs": 2,
            },
            True,
        ),
        Option(
            "F",
            "option_f_linear_probe",
            "frozen encoder, the head alone learns",
            "full",
            {"tune": "head", "learning_rate": 1e-3},
            True,
        ),
    )
}


def option_of(letter: str) -> Option:
    """Return an option by its letter, capital or small.

    Raises:
        UsageError: there is no such option.
    """
    if letter.upper() in OPTIONS:
        return OPTIONS[letter.upper()]
    together = list(letter.upper().replace(",", ""))
    meant = together if together and set(together) <= set(OPTIONS) else ["A", "B"]
    raise UsageError(
        "CONFIG",
        f"There is no option {letter!r}.",
        where="command line",
        evidence=f"options: {', '.join(f'{each.letter} ({each.title})' for each in OPTIONS.values())}",
        next_command=f"bash scripts/compare_options.sh {' '.join(meant)}",
    )


def typed_flags(typed: Sequence[str]) -> dict[str, Any]:
    """Return name -> value of the flags of run.py among words."""
    return flags.parse_given("run.py", "", all_groups(), argv=typed, help_text=False)


def presets_typed(typed: Sequence[str]) -> tuple[str, ...]:
    """Return the presets among the words of a command line."""
    return tuple(typed_flags(typed).get("preset", ()))


def command(letter: str, typed: Sequence[str], *, smoke_weights: Path | None = None) -> list[str]:
    """Return the words for run.py: preset and flags of the option, less what was typed, then what was typed.

    Args:
        letter: of the option.
        typed: words of the user; a flag among them, or in a file they name with `--config`, wins over the option's.
        smoke_weights: the encoder that a smoke run starts from.
    """
    option, given = option_of(letter), typed_flags(typed)
    asked = given.get("preset", ())
    chosen = set(given) | (set(flags.read_yaml(Path(given["config"]))) if given.get("config") else set())
    values = resolve({**given, "preset": (option.preset, *asked)})
    own: dict[str, Any] = {"model_id": f"{SMOKE}_{option.script}" if SMOKE in asked else option.script}
    if SMOKE in asked:
        own["train_epochs"] = SMOKE_EPOCHS
    own |= option.flags
    # Our own encoders were trained as their presets say: with all variables in one window and without the norm.
    if option.has_weights and not {SMOKE, ENCODER} & set(asked):
        own |= AS_PRETRAINED
    if option.has_weights and values.get("adaptation", True):
        own |= {"adaptation": True, "pretrain_model_path": _weights(asked, smoke_weights)}
    else:
        own.pop("load_parts", None)
    epochs = int(values["train_epochs"] if "train_epochs" in chosen else own.get("train_epochs", _epochs(values)))
    own |= _fitted(own, layers=int(values["e_layers"]), epochs=epochs)
    words = ["--preset", option.preset]
    for name, value in own.items():
        if name not in chosen:
            words += [f"--{name}", "yes" if value is True else str(value)]
    return [*words, *typed]


def require_weights(letter: str, words: Sequence[str]) -> None:
    """Refuse to begin without the weights that an option starts from, and say how to get them.

    Raises:
        CheckpointError: ``CKPT_MISSING``, with the two ways to have some.
    """
    given = typed_flags(words)
    if not given.get("adaptation"):
        return
    path = Path(given["pretrain_model_path"])
    try:
        checkpoint.require(path)
    except CheckpointError as error:
        if error.code != "CKPT_MISSING":
            raise
        raise CheckpointError(
            error.code,
            f"Option {letter} starts from pre-trained weights, and they are not there.",
            where=error.where,
            evidence=error.evidence,
            next_command=_ways_to_weights(letter, path),
        ) from None


def _ways_to_weights(letter: str, path: Path) -> str:
    script = f"bash scripts/{option_of(letter).script}.sh --preset encoder"
    if path == SMALL_ENCODER:
        return (
            "bash scripts/pretrain.sh --root_path FOLDER makes such an encoder; "
            f"{script} --pretrain_model_path RUN/best.pt starts from it"
        )
    return (
        "bash scripts/get_checkpoint.sh FILE|URL places the released file; "
        f"{script} starts from our own small encoder, {SMALL_ENCODER}"
    )


def _epochs(values: Mapping[str, Any]) -> int:
    return int(values.get("train_epochs", TrainerConfig().train_epochs))


def _weights(presets: Sequence[str], smoke_weights: Path | None) -> Path:
    """Return what an option starts from where nobody typed a file: what fits the sizes asked for."""
    sizes = [name for name in presets if name in (SMOKE, ENCODER)]
    if sizes and sizes[-1] == ENCODER:
        return SMALL_ENCODER
    return smoke_weights if sizes and smoke_weights is not None else RELEASED_WEIGHTS


def _fitted(own: Mapping[str, Any], *, layers: int, epochs: int) -> dict[str, Any]:
    """Return the flags that depend on the size of the model and the length of the training.

    Four of eight layers are half of them; five epochs of warm-up or freezing are at most half of a short training.
    """
    fitted: dict[str, Any] = {}
    if "load_parts" in own:
        half = layers // 2
        fitted["load_parts"] = "embedding" + (f",layers.0-{half - 1}" if half > 1 else ",layers.0" if half else "")
    for name in ("warmup_epochs", "freeze_encoder_epochs"):
        if name in own:
            fitted[name] = min(FIRST_EPOCHS, max(epochs // 2, 1))
    return fitted
