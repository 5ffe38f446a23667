"""The options run what the notes proposed, and whatever a user types wins over them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from exp import command_line, option_scores, option_verdicts, options
from exp.dry_run_material import WINDOWS_OF_THE_CASE
from exp.option_scores import Outcome
from exp.options import OPTIONS
from tests.exp.compare import stored
from utils.errors import CheckpointError, UsageError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
WITH_WEIGHTS = [letter for letter, option in OPTIONS.items() if option.has_weights]
# What has to be equal for a comparison to be one.
TERMS = ("train_epochs", "patience", "batch_size", "sample_stride_hours", "root_path", "data_path", "split_shares",
         "train_until", "fill", "scale", "seed", "cut_score", "calibration", "cost_loss_ratio", "loss")  # fmt: skip


def flags_of(letter: str, *typed: str) -> dict[str, object]:
    """Return the flags of the run that an option's script starts, read by the real parser."""
    return command_line.read(options.command(letter, list(typed), smoke_weights=Path("smoke.pt"))).as_flags()


def test_the_options_are_those_of_the_notes() -> None:
    """Options that drift from the notes can no longer be compared with what the notes expect of them."""
    full, small, transfer = (flags_of(letter) for letter in "ABC")
    assert (full["e_layers"], full["d_model"], full["seq_len"], full["learning_rate"]) == (8, 1024, 1440, 1e-4)
    assert (small["e_layers"], small["d_model"], small["seq_len"], small["learning_rate"]) == (4, 512, 720, 1e-3)
    assert not full["adaptation"] and not small["adaptation"] and transfer["adaptation"]
    rates = (transfer["warmup_start_lr"], transfer["warmup_epochs"], transfer["learning_rate"])
    assert rates == (1e-7, 5, 1e-6) and transfer["load_parts"] == []
    assert flags_of("D")["load_parts"] == ["embedding", "layers.0-3"]
    assert flags_of("E")["freeze_encoder_epochs"] == 5 and flags_of("E")["rate_ratios"] == [1, 10, 100]
    assert transfer["use_norm"] and transfer["variate_mode"] == "independent" and transfer["level_statistics"]
    assert flags_of("F")["tune"] == "head" and flags_of("F")["cache_frozen_encoder"]


@pytest.mark.parametrize("presets", [(), ("--preset", "encoder"), ("--preset", "smoke")])
def test_all_options_train_and_are_tested_on_equal_terms(presets: tuple[str, ...]) -> None:
    """An option with more epochs or other windows would win or lose by these."""
    first, *others = ({name: flags[name] for name in TERMS} for flags in (flags_of(each, *presets) for each in OPTIONS))
    assert all(other == first for other in others)


@pytest.mark.parametrize("letter", WITH_WEIGHTS)
def test_weights_fit_the_size_that_is_asked_for(letter: str) -> None:
    """A file of another width would be refused after the data were read, or worse, the wrong one would be loaded."""
    assert flags_of(letter)["pretrain_model_path"] == "checkpoints/timer_xl/checkpoint.pth"
    small = flags_of(letter, "--preset", "encoder")
    assert small["pretrain_model_path"] == "checkpoints/small_encoder/encoder.pt" and small["d_model"] == 128
    assert not small["use_norm"] and small["variate_mode"] == "joint" and small["encoder_features"] == "states"
    assert flags_of(letter, "--preset", "smoke")["pretrain_model_path"] == "smoke.pt"
    assert flags_of(letter, "--preset", "encoder", "--pretrain_model_path", "x.pt")["pretrain_model_path"] == "x.pt"


def test_half_of_the_layers_are_loaded_whatever_their_number() -> None:
    """Four layers of an encoder of four are no partial load, and of one of two they do not exist."""
    assert flags_of("D", "--preset", "encoder")["load_parts"] == ["embedding", "layers.0-1"]
    assert flags_of("D", "--e_layers", "2")["load_parts"] == ["embedding", "layers.0"]
    assert flags_of("D", "--preset", "smoke")["load_parts"] == ["embedding"]


def test_a_short_training_leaves_time_after_warm_up_and_freezing() -> None:
    """Five frozen epochs of four would make option E the probe, and C would never reach its rate."""
    assert flags_of("E", "--train_epochs", "4")["freeze_encoder_epochs"] == 2
    assert flags_of("C", "--train_epochs", "4")["warmup_epochs"] == 2
    assert flags_of("E", "--train_epochs", "4", "--freeze_encoder_epochs", "4")["freeze_encoder_epochs"] == 4


@pytest.mark.parametrize("letter", OPTIONS)
def test_a_typed_flag_wins_and_so_does_a_file(letter: str, tmp_path: Path) -> None:
    """A flag that is passed on and then overruled would train for hours with what nobody asked for."""
    (tmp_path / "mine.yaml").write_text("learning_rate: 3e-5\nmodel_id: mine\n")
    typed = flags_of(letter, "--learning_rate", "2e-5", "--model_id", "own", "--use_norm", "no")
    assert (typed["learning_rate"], typed["model_id"], typed["use_norm"]) == (2e-5, "own", False)
    from_file = flags_of(letter, "--config", str(tmp_path / "mine.yaml"))
    assert (from_file["learning_rate"], from_file["model_id"]) == (3e-5, "mine")


def test_without_adaptation_a_transfer_is_its_own_control() -> None:
    """The control has to differ from the option in nothing but the weights."""
    control, option = flags_of("C", "--adaptation", "no"), flags_of("C")
    assert not control["adaptation"] and {name for name in option if option[name] != control[name]} == {"adaptation"}
    assert flags_of("D", "--adaptation", "no")["load_parts"] == []


@pytest.mark.parametrize("letter", WITH_WEIGHTS)
def test_absent_weights_are_told_with_both_ways_to_get_some(letter: str, tmp_path: Path) -> None:
    """Whoever has no released file would give up, though an encoder of our own needs none."""
    absent = str(tmp_path / "checkpoint.pth")
    with pytest.raises(CheckpointError) as caught:
        options.require_weights(letter, options.command(letter, ["--pretrain_model_path", absent]))
    said = caught.value.next_command
    assert caught.value.code == "CKPT_MISSING" and "get_checkpoint.sh" in said
    assert f"scripts/{OPTIONS[letter].script}.sh --preset encoder" in said and "small_encoder/encoder.pt" in said
    options.require_weights(letter, options.command(letter, ["--adaptation", "no"]))


def test_the_absent_small_encoder_is_told_with_the_script_that_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To advise the preset that was just typed would lead in a circle."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        options.require_weights("C", options.command("C", ["--preset", "encoder"]))
    assert "scripts/pretrain.sh" in caught.value.next_command and "get_checkpoint" not in caught.value.next_command


def test_an_unknown_option_is_answered_with_the_six() -> None:
    """A mistyped letter must not start anything."""
    with pytest.raises(UsageError, match="no option") as caught:
        options.option_of("G")
    assert "F (frozen encoder" in caught.value.evidence


@pytest.mark.parametrize("letter", OPTIONS)
def test_the_head_of_each_script_says_what_it_is_what_it_costs_and_what_the_notes_promise(letter: str) -> None:
    """The figures of the notes stand in the script and in the table; one changed alone would contradict the other."""
    option = OPTIONS[letter]
    text = " ".join((SCRIPTS / f"{option.script}.sh").read_text(encoding="utf-8").replace("\n# ", " ").split())
    assert text.startswith(f"#!/usr/bin/env bash Option {letter}: ") and "estimated" in text and "measured" in text
    assert "no measure of skill" in text and "0.776" in text
    if option.notes_f1 and option.notes_hours:
        assert "{:.2f}-{:.2f}".format(*option.notes_f1) in text and "{}-{} hours".format(*option.notes_hours) in text


def test_the_head_of_the_transfer_says_that_its_rate_moves_next_to_nothing() -> None:
    """Whoever runs it with fresh weights would blame the encoder; the figure follows from the flags, and with them."""
    flags = flags_of("C", "--preset", "encoder")
    steps = 20 * -(-WINDOWS_OF_THE_CASE // int(str(flags["batch_size"])))
    text = (SCRIPTS / "option_c_transfer.sh").read_text(encoding="utf-8")
    assert f"{steps:,} steps times 1e-6, come to {steps * float(str(flags['learning_rate'])):.4f}" in text
    assert f"spread over {flags['head_init_std']}" in text and "option E or F" in text


def outcome(letter: str, **facts: object) -> Outcome:
    """Two seeds of an option."""
    scores = dict.fromkeys(option_scores.SCORES.values(), (0.6, 0.8))
    own = {"collapsed": (False, False), "parameters": 1234, "seconds": (60.0, 120.0), "base_rate": 0.634, "n": 100}
    return Outcome(option=OPTIONS[letter], **{"scores": scores, "runs": ("r/1", "r/2"), **own, **facts})


def test_the_table_puts_every_promise_beside_what_came_out() -> None:
    """Without base rate and constant answer an F1 of 0.776 looks like skill."""
    table = option_scores.markdown([outcome("A"), outcome("F", failed={2: "SKIP_BUDGET"})])
    assert "base rate 0.634" in table and "F1 0.776" in table and "0.700 ± 0.141" in table
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert [len(row) for row in rows] == [len(option_scores.TITLES)] * 4
    assert "0.70-0.75" in rows[2] and "1,234" in rows[2] and "90 s" in rows[2] and "3-4 |" in rows[2]
    assert rows[3][7] == "none" and "seed 2 SKIP_BUDGET" in rows[3][1]
    assert "collapsed seed" not in table and "SYNTHETIC" not in table


def test_a_collapsed_seed_marks_its_option() -> None:
    """A mean over seeds hides one that says the same every time."""
    table = option_scores.text([outcome("A", collapsed=(False, True), synthetic=True)])
    assert "A =" in table and "1 of 2" in table and "marks a collapsed seed" in table and "SYNTHETIC" in table


def test_an_option_without_a_finished_seed_has_a_row_all_the_same(tmp_path: Path) -> None:
    """An option that died of its numbers must not vanish from the table, nor break it."""
    dead = option_scores.read(OPTIONS["A"], [], {0: "GRAD_NONFINITE"})
    paths = option_scores.write(tmp_path, [dead, outcome("B")], ["A sentence."])
    stored = json.loads(paths[0].read_text())
    assert stored["options"][0]["failed"] == {"0": "GRAD_NONFINITE"} and stored["conclusions"] == ["A sentence."]
    assert "GRAD_NONFINITE" in paths[1].read_text() and "A sentence." in paths[1].read_text()
    rows = list(csv.DictReader(io.StringIO(paths[2].read_text())))
    assert [(row["option"], row["roc_auc"], row["notes_f1"]) for row in rows] == [
        ("B", "0.6", "0.68-0.73"), ("B", "0.8", "0.68-0.73")
    ]  # fmt: skip


def judged(tmp_path: Path, days: int) -> option_verdicts.Verdicts:
    """Two options in two seeds each; B knows more of the rain, and C has not finished."""
    outcomes = []
    for letter, skill in (("A", 0.3), ("B", 0.7)):
        runs = [
            stored.write(tmp_path / letter, seed=seed, skill=skill, days=days, flags={"seq_len": 24}) for seed in (0, 1)
        ]
        outcomes.append(outcome(letter, runs=tuple(map(str, runs))))
    return option_verdicts.of([*outcomes, option_scores.read(OPTIONS["C"], [], {0: "SKIP_BUDGET"})])


def test_options_have_the_intervals_and_verdicts_of_any_comparison(tmp_path: Path) -> None:
    """A mean over two seeds beside another says nothing of whether other days would order them so."""
    found = judged(tmp_path, 120)
    (difference,) = found.differences
    assert (difference["name"], difference["from"]) == ("A", "B")
    assert difference["scores"]["brier_skill_score"]["is_real"] and "real" in found.sentences()[0]
    one, other, none = found.outcomes
    low, high = one.intervals["roc_auc"]
    assert low < one.scores["roc_auc"][0] < high < 1 and other.intervals["f1"] and none.intervals is None
    table = option_scores.markdown(found.outcomes)
    assert f"[{low:.3f}, {high:.3f}]" in table and "0.70-0.75" in table and "SKIP_BUDGET" in table
    paths = option_scores.write(tmp_path / "out", found.outcomes, found.sentences(), found.differences)
    content = json.loads(paths[0].read_text())
    assert content["options"][0]["scores"]["roc_auc"]["interval"] == [low, high] and content["differences"]
    assert found.sentences()[0] in paths[1].read_text()


def test_options_on_few_days_have_no_verdict_and_say_why(tmp_path: Path) -> None:
    """A smoke run tests on a few days; an interval of these would be made up."""
    found = judged(tmp_path, 20)
    assert "20 days" in found.sentences()[0] and all(
        not any((each.intervals or {}).values()) for each in found.outcomes
    )
    assert "95 %" not in option_scores.text(found.outcomes)
