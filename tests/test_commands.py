"""Command lines that users have in their notes run unchanged: parsed by the real parser and started on tiny data."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch

import run as program
from exp import command_line, options
from models.timer_xl import Config as EncoderConfig
from models.timer_xl import Model as Encoder
from scripts.options import compare
from tests import make_table
from utils import flags

ROOT = Path(__file__).resolve().parent.parent
OPTION_A = (
    "--task_name classification --model timer_xl_classifier --e_layers 8 --d_model 1024 --batch_size 16 "
    "--learning_rate 1e-4 --train_epochs 50 --patience 10 --n_classes 2"
)
OPTION_B = (
    "--task_name classification --model timer_xl_classifier --e_layers 4 --d_model 512 --d_ff 1024 --seq_len 720 "
    "--learning_rate 1e-3"
)
TRANSFER = (
    "--task_name classification --model timer_xl_classifier --learning_rate 1e-6 --batch_size 16 --adaptation "
    "--pretrain_model_path checkpoints/timer_xl/checkpoint.pth"
)
LONG_FORM = (
    "--task_name classification --is_training 1 --model_id peru_rainfall_timerxl --model timer_xl_classifier "
    "--data PeruRainfall --root_path datasets/processed/ --data_path peru_rainfall.csv --checkpoints checkpoints/ "
    "--seq_len 1440 --input_token_len 96 --output_token_len 96 --test_seq_len 1440 --test_pred_len 2 --e_layers 8 "
    "--d_model 1024 --d_ff 2048 --n_heads 8 --dropout 0.1 --activation relu --batch_size 128 --learning_rate 1e-5 "
    "--train_epochs 50 --patience 10 --n_classes 2 --gpu 0 --cosine --tmax 50 --use_norm --adaptation "
    "--pretrain_model_path checkpoints/timer_xl/checkpoint.pth --use_focal_loss --focal_alpha 0.70 --focal_gamma 2.8 "
    "--class_weights 0.3,0.7 --loss CE --itr 1 --des Peru_Rainfall"
)
SCORE_AGAIN = (
    "--task_name classification --is_training 0 --model timer_xl_classifier --data PeruRainfall "
    "--root_path datasets/processed/ --data_path peru_rainfall.csv --checkpoints checkpoints/ --seq_len 720 "
    "--e_layers 4 --d_model 512 --n_classes 2 --gpu 0"
)
TRAINING = {"A": OPTION_A, "B": OPTION_B, "transfer": TRANSFER, "long": LONG_FORM}
# Tiny sizes behind a user's own words: the last value of a flag wins.
TINY = "--e_layers 1 --d_model 16 --d_ff 32 --n_heads 2 --seq_len 96 --input_token_len 24 --output_token_len 24"
ONE_EPOCH = "--train_epochs 1 --sample_stride_hours 24 --device cpu"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder as the notes expect it: a table under datasets/processed and a checkpoint to start from."""
    folder = tmp_path / "datasets" / "processed"
    folder.mkdir(parents=True)
    make_table.write(folder, "peru_rainfall.csv")
    config = EncoderConfig(e_layers=1, d_model=16, d_ff=32, n_heads=2, input_token_len=24, output_token_len=24)
    (tmp_path / "checkpoints" / "timer_xl").mkdir(parents=True)
    torch.save(Encoder(config).state_dict(), tmp_path / "checkpoints" / "timer_xl" / "checkpoint.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", [*TRAINING.values(), SCORE_AGAIN], ids=[*TRAINING, "score again"])
def test_every_command_of_the_notes_is_understood_as_it_stands(words: str) -> None:
    """A flag that is refused sends the user back to the old tool."""
    settings = command_line.read(shlex.split(words))
    assert settings.run.model == "timer_xl_classifier" and settings.model.d_ff in (1024, 2048)


@pytest.mark.parametrize("name", TRAINING)
def test_every_training_command_starts_and_finishes_on_tiny_data(project: Path, name: str) -> None:
    """Words are as in the notes; only sizes follow behind so that it is quick."""
    assert program.main(shlex.split(f"{TRAINING[name]} {TINY} {ONE_EPOCH}")) == 0
    (scores,) = project.glob("checkpoints/*/*/scores.json")
    content = json.loads(scores.read_text())
    assert content["test"]["overall"]["n"] > 0 and 0 < content["test"]["overall"]["base_rate"] < 1
    names = {path.name for path in scores.parent.iterdir()}
    assert {
        "config.json", "environment.json", "preprocessing.json", "metrics.jsonl", "train.log", "best.pt", "last.pt",
        "predictions.csv", "predictions.nc", "figures",
    } <= names  # fmt: skip


def test_the_snippets_of_the_notes_work_on_our_files(project: Path) -> None:
    """`torch.load` gives named tensors, `pd.read_csv` the columns, the model freezes and thaws."""
    assert program.main(shlex.split(f"{OPTION_B} {TINY} {ONE_EPOCH}")) == 0
    (best,) = project.glob("checkpoints/peru_rainfall/*/best.pt")
    state = torch.load(best)
    assert "embedding.weight" in state and all(torch.isfinite(value).all() for value in state.values())
    assert list(pd.read_csv("datasets/processed/peru_rainfall.csv").columns[:2]) == ["timestamp", "region"]


def test_a_finished_run_is_scored_again_to_the_same_numbers(project: Path) -> None:
    """Scoring again must not depend on anything but the run directory and the table."""
    assert program.main(shlex.split(f"{OPTION_B} {TINY} {ONE_EPOCH}")) == 0
    (scores,) = project.glob("checkpoints/*/*/scores.json")
    assert program.main(["--is_training", "0", "--seq_len", "96", "--e_layers", "1", "--gpu", "0"]) == 0
    (again,) = project.glob("checkpoints/*/*/scored-*/scores.json")
    assert json.loads(again.read_text())["test"] == json.loads(scores.read_text())["test"]


def test_no_finished_run_that_agrees_ends_with_2_and_shows_the_difference(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user sees which flag is different instead of the scores of another model."""
    assert program.main(shlex.split(SCORE_AGAIN)) == 2
    assert "no finished run" in capsys.readouterr().err
    assert program.main(shlex.split(f"{OPTION_B} {TINY} {ONE_EPOCH}")) == 0
    assert program.main(["--is_training", "0", "--preset", "small", "--seq_len", "96"]) == 2
    assert program.main(["--is_training", "0", "--d_model", "512"]) == 2
    assert "--d_model is 16, not 512" in capsys.readouterr().err


def test_flags_that_need_nothing_here_say_so_in_a_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Users type them from memory; an error would be rude and silence would mislead."""
    words = shlex.split(f"{OPTION_B} {TINY} {ONE_EPOCH} --num_workers 4 --features M --gpu 0 --device auto")
    assert program.main(words) == 0
    said = capsys.readouterr().out
    assert "--num_workers: changes nothing" in said and "--features:" in said
    if not torch.cuda.is_available():
        assert "no GPU here" in said


@pytest.mark.parametrize("name", TRAINING)
def test_argv_of_the_settings_gives_the_settings_again(name: str) -> None:
    """config.json must be enough to run the same again."""
    settings = command_line.read(shlex.split(TRAINING[name]))
    parts = (settings.run, settings.data, settings.split, settings.cleaning, settings.scaling, settings.trainer)
    words = flags.to_argv(*parts, settings.loss, settings.model)
    assert command_line.read(words).as_flags() == settings.as_flags()


def test_the_long_form_and_its_preset_agree() -> None:
    """`--preset full` is option A by name."""
    option, preset = command_line.read(shlex.split(OPTION_A)), command_line.read(["--preset", "full"])
    assert option.model == preset.model and option.data == preset.data and option.trainer == preset.trainer


def test_later_presets_win_and_typed_flags_win_over_both(tmp_path: Path) -> None:
    """Order decides, as a reader of the command line would expect."""
    (tmp_path / "mine.yaml").write_text("learning_rate: 3e-05\ne_layers: 3\n")
    words = ["--preset", "full", "--preset", "small", "--config", str(tmp_path / "mine.yaml"), "--e_layers", "5"]
    settings = command_line.read(words)
    assert (settings.model.d_model, settings.model.e_layers, settings.trainer.learning_rate) == (512, 5, 3e-5)


def _texts() -> dict[str, str]:
    """Return scripts, documents and the code of notebooks by their names, each command on one line."""
    texts = {"run.py": program.EPILOG}
    for path in [*ROOT.glob("scripts/*.sh"), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        texts[path.name] = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts[path.name] = "\n".join("".join(cell["source"]) for cell in cells).replace("\\\n", " ")
    return texts


def _written_commands() -> list[tuple[str, str]]:
    """Return every `run.py` command line in scripts and documents, with the place it stands at."""
    found = []
    for name, text in _texts().items():
        for match in re.finditer(r"(?:python|\"\$PYTHON\") run\.py( [^\n`#|]*)", text):
            found.append((name, match.group(1)))
    return found


@pytest.mark.parametrize(("place", "words"), _written_commands())
def test_every_command_in_scripts_and_documents_parses(place: str, words: str) -> None:
    """A command that no longer works is worse than none."""
    words = re.split(r"\s{2,}", words.strip())[0] if place == "run.py" else words.strip()
    known = words.replace('"$model"', "gradient_boosting")
    typed = shlex.split(re.sub(r'(\$\{\w+\[@\]\+)?"\$[^"]*"\}?', "", known))
    if "--help" not in typed:
        command_line.read(typed)


def _flags_of_the_benchmark() -> dict[str, str]:
    """Return the flags of every name that the benchmark of skill knows."""
    text = (ROOT / "scripts" / "benchmark_skill.sh").read_text(encoding="utf-8")
    return dict(re.findall(r'^  \[(\w+)\]="(.*)"$', text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", _flags_of_the_benchmark())
def test_every_name_of_the_benchmark_of_skill_has_flags_that_parse(name: str) -> None:
    """The ninth of nine models with a flag that is no more would end an hour of training."""
    words = _flags_of_the_benchmark()[name].replace("$seeds", "3")
    settings = command_line.read([*shlex.split(words), "--cross_validate", "years"])
    assert settings.split.cross_validate == "years" and settings.run.itr in (1, 3)


def _written_options() -> list[tuple[str, str, str]]:
    """Return every command line of an option or a comparison, with the place it stands at."""
    found = []
    for name, text in _texts().items():
        for match in re.finditer(r"bash scripts/(option_\w+|compare_options)\.sh([^\n`#|]*)", text):
            # Behind two blanks a comment begins; words in braces a notebook fills in.
            words = re.split(r"\s{2,}", match.group(2).rstrip())[0].replace("{WORDS}", "--preset smoke")
            found.append((name, match.group(1), words))
    return found


@pytest.mark.parametrize(("place", "script", "words"), _written_options())
def test_every_option_in_scripts_documents_and_notebooks_parses(place: str, script: str, words: str) -> None:
    """An option with a flag that is no more would end a notebook in its third cell."""
    typed = shlex.split(words)
    if "--help" in typed:
        return
    if script == "option_best":
        command_line.read(["--preset", "best", *typed])
        return
    letters = [option.letter for option in options.OPTIONS.values() if option.script == script]
    if script == "compare_options":
        letters, typed, _ = compare.read(typed)
    assert letters
    for letter in letters:
        command_line.read(options.command(letter, typed))
