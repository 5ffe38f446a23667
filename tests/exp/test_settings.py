"""Flags become settings: whole tokens, groups of the chosen model, one error for all that is wrong."""

from __future__ import annotations

import pytest

from data_provider.factory import DataConfig
from exp import command_line, presets
from exp.settings import all_groups, context_length, shown_groups
from utils import flags
from utils.errors import UsageError


def test_the_context_is_cut_to_whole_tokens() -> None:
    """1,000 hours hold ten tokens of 96; the oldest 40 hours go, the newest stay."""
    assert context_length(command_line.read(["--seq_len", "1000"])) == 960
    assert context_length(command_line.read(["--seq_len", "1000", "--model", "resnet1d"])) == 1000


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_made_of_real_flags(name: str) -> None:
    """A misspelt flag in a preset would silently not apply."""
    settings = command_line.read(["--preset", name])
    stored = settings.as_flags()
    typed = flags.typed(all_groups(), presets.flags_of(name), name)
    typed = {key: list(value) if isinstance(value, tuple) else value for key, value in typed.items() if key in stored}
    assert {key: stored[key] for key in typed} == typed


def test_help_shows_the_groups_of_the_chosen_model() -> None:
    """Two hundred flags at once teach nothing."""
    shown = {field for group in shown_groups("classification", "climatology") for field in group.__dataclass_fields__}
    assert "seq_len" in shown and "learning_rate" not in shown and "e_layers" not in shown
    shown = {
        field for group in shown_groups("classification", "timer_xl_classifier") for field in group.__dataclass_fields__
    }
    assert {"seq_len", "learning_rate", "e_layers", "loss"} <= shown


def test_no_two_groups_mean_different_types_by_one_flag() -> None:
    """One name, one meaning: a flag must not be a number for one model and a word for another."""
    kinds: dict[str, set[str]] = {}
    for group in all_groups():
        for name, field in group.__dataclass_fields__.items():
            kinds.setdefault(name, set()).add(str(field.type).replace(" | None", ""))
    assert {name: kind for name, kind in kinds.items() if len(kind) > 1} == {}


def test_flags_of_other_models_are_accepted_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """A script that runs all models with the same words must not fail at the first reference."""
    with caplog.at_level("INFO"):
        settings = command_line.read(["--model", "climatology", "--e_layers", "4", "--seq_len", "720"])
    assert settings.data == DataConfig(seq_len=720)
    assert "--e_layers is not used by climatology." in caplog.text


def test_a_preset_in_capitals_names_the_same_in_small_letters() -> None:
    """`--preset SMOKE` was answered with `--preset small`: hours where seconds were meant."""
    with pytest.raises(UsageError) as caught:
        presets.flags_of("SMOKE")
    assert caught.value.next_command == "--preset smoke"


def test_an_unknown_preset_names_the_nearest() -> None:
    """The message is the shortest way to the right word."""
    with pytest.raises(UsageError, match="smal"):
        command_line.read(["--preset", "smal"])


def test_the_help_says_of_every_preset_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Eight bare names leave a reader to try them, and some of them take hours."""
    with pytest.raises(SystemExit):
        command_line.read(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} ({presets.ABOUT[name]})" in shown for name in presets.PRESETS)
    assert "published options" not in shown


def test_the_help_names_the_weights_that_come_with_the_repository(capsys: pytest.CaptureFixture[str]) -> None:
    """The default of the flag is a file that has to be fetched; the small encoder is there."""
    with pytest.raises(SystemExit):
        command_line.read(["--help"])
    assert "checkpoints/small_encoder/encoder.pt" in "".join(capsys.readouterr().out.split())


def test_too_few_draws_for_an_interval_are_refused() -> None:
    """The ends of a 95 % interval of ten draws are the best and the worst day of chance."""
    for few in ("-1", "99"):
        with pytest.raises(UsageError, match="--bootstrap_draws must be 0 or at least 100"):
            command_line.read(["--bootstrap_draws", few])
    assert command_line.read(["--bootstrap_draws", "0"]).verification.bootstrap_draws == 0
