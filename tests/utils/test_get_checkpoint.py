"""Getting a checkpoint, from real files and a real server: in its place whole and known, or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import run as program
from exp import command_line, presets
from exp.diagnosis.origin import Origin
from tests.processes import hear_all_signals
from tests.utils import checkpoint_files as files
from tests.utils.file_server import Behaviour, serving
from utils import checkpoint, checkpoint_facts, get_checkpoint, run_lock
from utils.checkpoint_verdict import examine
from utils.files import sha256

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT.parent / "shared" / "golden" / "timer_xl_base_state_dict.json"
# About 900 kB: several pieces of a download.
WIDE = {"layers": 2, "width": 128, "heads": 4, "token": 96, "hidden": 256}
QUICK = ["--wait_seconds", "0.01"]
# A cut, and another one before anything more came: with one attempt that is the end.
FOR_GOOD = (300_000, 0)


def saved(content: object) -> bytes:
    """Return the bytes that torch makes of a content."""
    whole = io.BytesIO()
    torch.save(content, whole)
    return whole.getvalue()


CONTENT = saved(files.sound(**WIDE))
OTHER = saved({name: value + 1 for name, value in files.sound(**WIDE).items()})


class Place:
    """A folder of checkpoints, and the tool that fills it.

    Args:
        folder: an empty folder.
        capsys: of the test.
        caplog: of the test.
    """

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
        self.root, self.capsys, self.caplog = folder / "checkpoints", capsys, caplog
        self.folder = self.root / "timer_xl"
        self.path = self.folder / "checkpoint.pth"
        self.part = self.folder / "checkpoint.part"

    def get(self, *words: str) -> tuple[int, str]:
        """Run the tool; return its exit code and everything it said."""
        self.caplog.clear()
        with self.caplog.at_level(logging.INFO):
            code = get_checkpoint.main([*words, "--checkpoints", str(self.root), *QUICK])
        said = self.capsys.readouterr().err
        assert "Traceback" not in said
        return code, self.caplog.text + said

    def content(self) -> dict[str, bytes]:
        """Return every file of the folder."""
        return {path.name: path.read_bytes() for path in self.folder.glob("*") if path.is_file()}

    def record(self) -> dict[str, Any]:
        """Return the JSON beside the file."""
        return json.loads(self.path.with_name("checkpoint.pth.json").read_text())


@pytest.fixture(autouse=True)
def _without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a proxy of this machine's surroundings have no part in it."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Place:
    return Place(tmp_path, capsys, caplog)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A sound file in another folder."""
    path = tmp_path / "downloads" / "weights.pth"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def next_commands(said: str) -> list[str]:
    """Return the commands that are offered at the end."""
    return [
        line.split("python ")[1].split("   (")[0] for line in said.splitlines() if "next:     python run.py" in line
    ]


def test_a_local_file_gets_its_name_its_json_and_the_commands_that_use_it(place: Place, given: Path) -> None:
    """Copied by hand it would have no hash, and whoever finds it a year later would not know where it is from."""
    code, said = place.get(str(given))
    assert code == 0 and place.path.read_bytes() == CONTENT == given.read_bytes()
    assert set(place.content()) == {"checkpoint.pth", "checkpoint.pth.json"}
    record = place.record()
    told = record["metadata"]["obtained"]
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest() == told["sha256"]
    assert (told["source"], told["bytes"], told["tensors"]) == (str(given), len(CONTENT), 40)
    assert told["layout"] == "Timer-XL" and told["time"].endswith("+00:00")
    sizes = {"e_layers": 2, "d_model": 128, "d_ff": 256, "n_heads": 4, "input_token_len": 96, "output_token_len": 96}
    assert told["flags"] == sizes and told["parameters"] == sum(v.numel() for v in files.sound(**WIDE).values())
    assert examine(place.path).status == "VALID" and "40 tensors" in said
    dry, start = next_commands(said)
    assert dry.endswith("--dry_run") and f"--adaptation --pretrain_model_path {place.path}" in start


def test_the_commands_that_are_offered_work(place: Place, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A next step that fails is worse than none; the sizes must fit to the last tensor."""
    from tests import make_table

    _, said = place.get(str(given))
    dry, start = (line.removeprefix("run.py ").split() for line in next_commands(said))
    assert program.main([*dry, "--device", "cpu", "--batch_size", "2", "--seq_len", "96"]) == 0
    make_table.write(given.parent)
    data = ["--root_path", str(given.parent), "--data_path", "table.csv", "--checkpoints", str(given.parent / "runs")]
    assert program.main([*start, *data, "--task_name", "diagnose", "--seq_len", "96", "--device", "cpu"]) == 0
    assert "40 of 40 tensors loaded" in capsys.readouterr().out


def test_a_file_of_the_released_size_is_told_as_such_and_its_commands_are_those_of_the_page(
    tmp_path: Path, place: Place
) -> None:
    """The 142 names and shapes of the released checkpoint; their values do not matter for what it is."""
    shapes = json.loads(SHAPES.read_text()) if SHAPES.is_file() else None
    state = files.sound(layers=8, width=1024, heads=8, token=96, hidden=2048)
    if shapes is not None:
        assert {name: list(value.shape) for name, value in state.items()} == shapes
    facts = checkpoint_facts.Facts.of(state, tmp_path)
    assert facts.is_released and (facts.tensors, facts.parameters) == (142, 67_398_880)
    assert set(checkpoint_facts.encoder_names(8)) == set(state)
    commands = [words for _, words in facts.commands(checkpoint_facts.DEFAULT_PATH, facts.flags({}))]
    settings = [command_line.read(words.removeprefix("python run.py ").split()) for words in commands]
    model = settings[1].model
    assert settings[0].run.dry_run and settings[1].run.adaptation and model.use_norm and model.level_statistics
    assert all(getattr(model, name) == value for name, value in facts.flags({}).items())
    assert Path(settings[1].run.pretrain_model_path) == checkpoint_facts.DEFAULT_PATH


def test_the_encoder_of_the_repository_is_offered_with_its_preset(place: Place) -> None:
    """Its sizes alone would leave it with another context and another head than it was measured with."""
    code, said = place.get(str(ROOT / "checkpoints" / "small_encoder" / "encoder.pt"), "--name", "own")
    assert code == 0 and "python run.py --preset encoder --adaptation" in said
    flags = checkpoint_facts.Facts.of(checkpoint.load(place.root / "own" / "checkpoint.pth"), place.root).flags({})
    preset = presets.flags_of("encoder")
    assert {name: preset[name] for name in checkpoint_facts.SMALL} == checkpoint_facts.SMALL
    assert flags | checkpoint_facts.SMALL == flags


def test_safetensors_get_the_name_of_what_they_are(tmp_path: Path, place: Place) -> None:
    """Browsers give files any name; the bytes decide."""
    (tmp_path / "x.pth").write_bytes(files.safetensors_bytes(files.sound(**WIDE)))
    assert place.get(str(tmp_path / "x.pth"))[0] == 0
    assert set(place.content()) == {"checkpoint.safetensors", "checkpoint.safetensors.json"}


def test_what_a_file_of_ours_says_of_its_training_stays_with_it(tmp_path: Path, place: Place) -> None:
    """The checks before a training read there which variables it saw and whether it had instance norm."""
    told = {"config": {"use_norm": True, "input_token_len": 96}, "dimensions": {"n_variables": 1}}
    checkpoint.save(tmp_path / "best.pt", files.sound(**WIDE), metadata=told)
    code, said = place.get(str(tmp_path / "best.pt"), "--name", "own")
    path = place.root / "own" / "checkpoint.pth"
    origin = Origin.of(path)
    assert code == 0 and origin is not None and origin.n_variables == 1 and "--use_norm" in said
    assert "obtained" in (checkpoint.metadata(path) or {})


def test_what_was_downloaded_still_counts_as_a_file_from_elsewhere(place: Place, given: Path) -> None:
    """Its JSON says nothing of a training: else the warning about the untrained bias would fall silent."""
    place.get(str(given))
    assert checkpoint.metadata(place.path) is not None and Origin.of(place.path) is None


def test_a_file_with_a_head_of_its_own_is_offered_with_its_encoder(tmp_path: Path, place: Place) -> None:
    """All of it would not fit a model with another head."""
    torch.save(files.sound(**WIDE) | {"classifier.1.weight": torch.ones(3, 3)}, tmp_path / "a.pth")
    code, said = place.get(str(tmp_path / "a.pth"))
    assert code == 0 and "--load_parts encoder" in said


def _cut_file(path: Path) -> None:
    path.write_bytes(CONTENT[:-500])


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def _spoiled(path: Path) -> None:
    state = files.sound(**WIDE)
    state["head.weight"][3, 2] = float("nan")
    torch.save(state, path)


def _flipped(path: Path) -> None:
    checkpoint.save(path, files.sound(**WIDE))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _part(path: Path) -> None:
    torch.save({name: value for name, value in files.sound(**WIDE).items() if "conv1" not in name}, path)


NO_CHECKPOINT = "CKPT_NOT_A_CHECKPOINT: This is no checkpoint; it is "
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "page": (
        lambda path: path.write_text(files.PAGE),
        NO_CHECKPOINT + "a web page",
    ),
    "pointer": (
        lambda path: path.write_text(files.POINTER),
        NO_CHECKPOINT + "a pointer of Git LFS",
    ),
    "zip": (_zip, NO_CHECKPOINT + "a ZIP archive"),
    "empty": (lambda path: path.write_bytes(b""), NO_CHECKPOINT + "an empty file"),
    "directory": (lambda path: path.mkdir(), NO_CHECKPOINT + "a directory"),
    "cut": (_cut_file, "CKPT_TRUNCATED: The end of the checkpoint is missing"),
    "bomb": (lambda path: torch.save({"x": files.Bomb(path.with_name("canary"))}, path), "CKPT_UNSAFE"),
    "absurd sizes": (files.huge_view, "CKPT_LIMIT"),
    "nan": (_spoiled, "CKPT_NONFINITE: 1 tensor of the checkpoint"),
    "flipped bit of ours": (_flipped, "CKPT_HASH_MISMATCH"),
    "variant": (lambda path: torch.save(files.hugging_face(), path), "CKPT_LAYOUT: This is the Hugging Face variant"),
    "part of an encoder": (_part, "CKPT_COVERAGE: No whole Timer-XL encoder"),
    "other model": (lambda path: torch.save({"a": torch.ones(3)}, path), "CKPT_COVERAGE"),
    "missing": (lambda path: None, "CKPT_MISSING: There is no such file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_checkpoint_to_use_is_refused_by_name_and_leaves_nothing(
    tmp_path: Path, place: Place, kind: str
) -> None:
    """A page saved as .pth is found now, with the address at hand, and not when a training begins."""
    write, told = REFUSED[kind]
    write(tmp_path / "given.pth")
    code, said = place.get(str(tmp_path / "given.pth"))
    assert code == 4 and said.count(told) == 1 and said.count("  next:") == 1 and "given.pth" in said
    assert ".writing" not in said and not place.folder.exists() and not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "kind", [kind for kind in REFUSED if kind not in ("directory", "missing", "flipped bit of ours")]
)
def test_the_same_from_a_server_is_refused_by_the_same_name_and_nothing_of_it_is_kept(
    tmp_path: Path, place: Place, kind: str
) -> None:
    """To go on with a wrong file would end the same way for ever."""
    write, told = REFUSED[kind]
    write(tmp_path / "given.pth")
    with serving(Behaviour((tmp_path / "given.pth").read_bytes())) as address:
        code, said = place.get(address("given.pth"))
    assert code == 4 and said.count(told) == 1 and said.count("  next:") == 1
    assert f"where:    {address('given.pth')}" in said and not place.folder.exists()


def test_a_suspect_file_is_taken_and_warned_of(tmp_path: Path, place: Place) -> None:
    """Finite and absurd may be wanted; silent it must not be."""
    torch.save({name: torch.zeros_like(value) for name, value in files.sound(**WIDE).items()}, tmp_path / "zeros.pth")
    code, said = place.get(str(tmp_path / "zeros.pth"))
    assert code == 0 and said.count("CKPT_SUSPECT") == 1 and ".writing" not in said and place.path.is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Give a file or an address"),
        (["ftp://host/a.pth"], "Only http, https and file"),
        (["https://"], "Only http, https and file"),
        (["file://elsewhere/a.pth"], "names a file of this machine"),
        (["http://host:port/a.pth"], "no address of a file"),
        (["a.pth", "--name", "../a"], "--name"),
        (["a.pth", "--sha256", "abc"], "64 hexadecimal digits"),
        (["a.pth", "--attempts", "0"], "--attempts"),
        (["a.pth", "b.pth"], "stands where a flag was expected"),
    ],
)
def test_what_makes_no_sense_ends_with_2(place: Place, words: list[str], told: str) -> None:
    """Nothing is written before the words make sense."""
    code, said = place.get(*words)
    assert code == 2 and told in said and said.count("  next:") == 1 and not place.folder.exists()


def test_the_same_file_again_is_said_and_changes_nothing(place: Place, given: Path) -> None:
    """Whoever is not sure types the command again."""
    place.get(str(given))
    before = place.content()
    code, said = place.get(str(given))
    assert code == 0 and "The same file lies there already" in said and place.content() == before
    assert len(next_commands(said)) == 2


def test_another_file_replaces_a_good_one_only_when_that_is_asked_for(
    tmp_path: Path, place: Place, given: Path
) -> None:
    """A run that was started from the old one could never be explained again."""
    place.get(str(given))
    before = place.content()
    (tmp_path / "other.pth").write_bytes(OTHER)
    code, said = place.get(str(tmp_path / "other.pth"))
    assert code == 2 and "CKPT_EXISTS" in said and "--replace" in said and place.content() == before
    command = next(line for line in said.splitlines() if "next:" in line)
    assert str(given) in said and f"get_checkpoint.sh {tmp_path / 'other.pth'}" in command
    assert place.get(str(tmp_path / "other.pth"), "--replace")[0] == 0
    assert place.path.read_bytes() == OTHER and checkpoint.metadata(place.path) is not None


def test_a_broken_file_in_the_place_gives_way_and_that_is_said(place: Place, given: Path) -> None:
    """It was to be replaced: that is why the command is typed."""
    place.folder.mkdir(parents=True)
    place.path.write_bytes(CONTENT[:1000])
    code, said = place.get(str(given))
    assert code == 0 and "is replaced, since it is broken" in said and place.path.read_bytes() == CONTENT


def test_a_file_that_was_put_there_by_hand_gets_its_json(place: Place) -> None:
    """The page said for a year to copy it there."""
    place.folder.mkdir(parents=True)
    place.path.write_bytes(CONTENT)
    assert place.get(str(place.path))[0] == 0
    assert place.record()["sha256"] == hashlib.sha256(CONTENT).hexdigest() and place.path.read_bytes() == CONTENT


def test_a_folder_that_another_process_holds_is_left_alone(place: Place, given: Path) -> None:
    """Two downloads into one part would mix."""
    place.folder.mkdir(parents=True)
    with run_lock.hold(place.folder):
        code, said = place.get(str(given))
    assert code == 7 and "RUN_LOCKED" in said and not place.path.exists()


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_place_that_cannot_be_written_ends_with_6(place: Place, given: Path, kind: str) -> None:
    """A file where the folder should be, a folder where the file should be."""
    if kind == "file":
        place.root.write_text("mine")
    else:
        place.path.mkdir(parents=True)
    code, said = place.get(str(given))
    assert code == 6 and "STORAGE_DENIED" in said
    assert not list(place.root.rglob("*.json")) and not list(place.root.rglob("*.writing"))


def test_an_address_is_fetched_with_where_it_is_from_and_a_hash_that_is_wanted(place: Place) -> None:
    """The plain way: everything that was said of the file stands beside it, a signature in the address does not."""
    with serving(Behaviour(CONTENT, modified="Mon, 02 Nov 2026 10:00:00 GMT")) as address:
        url = address("weights.pth")
        code, said = place.get(f"{url}?signature=secret", "--sha256", hashlib.sha256(CONTENT).hexdigest().upper())
    told = place.record()["metadata"]["obtained"]
    assert code == 0 and place.path.read_bytes() == CONTENT and sha256(place.path) == told["sha256"]
    assert (told["source"], told["etag"], told["last_modified"]) == (url, '"one"', "Mon, 02 Nov 2026 10:00:00 GMT")
    assert set(place.content()) == {"checkpoint.pth", "checkpoint.pth.json"} and "secret" not in said


def test_a_redirect_is_followed(place: Place) -> None:
    """Hosts of large files send every request on to another server."""
    behaviour = Behaviour(CONTENT, moved_to={"/a": "/b"}, cuts=[300_000])
    with serving(behaviour) as address:
        assert place.get(address("a"))[0] == 0
    assert behaviour.asked == [("/a", None), ("/b", None), ("/a", "bytes=300000-"), ("/b", "bytes=300000-")]
    assert place.path.read_bytes() == CONTENT


@pytest.mark.parametrize("scheme", ["file://", "file://localhost"])
def test_an_address_of_a_local_file_is_a_local_file(place: Place, tmp_path: Path, scheme: str) -> None:
    """File managers give such addresses, with blanks as %20."""
    (tmp_path / "my weights.pth").write_bytes(CONTENT)
    assert place.get(f"{scheme}{tmp_path}/my%20weights.pth")[0] == 0 and place.path.read_bytes() == CONTENT


def test_a_link_to_a_page_about_a_file_becomes_the_file_through_the_proxy_of_the_environment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People copy what the browser shows; the page would be saved as .pth. The server here stands in as the proxy."""
    behaviour = Behaviour(CONTENT)
    with serving(behaviour) as address:
        monkeypatch.setenv("http_proxy", address(""))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        code, said = place.get("http://huggingface.co/OWNER/REPO/blob/main/folder/checkpoint.pth")
    assert code == 0 and said.count("leads to a page about the file") == 1
    assert behaviour.asked == [("http://huggingface.co/OWNER/REPO/resolve/main/folder/checkpoint.pth", None)]


def test_a_connection_that_is_cut_is_gone_on_with_where_it_ended(place: Place) -> None:
    """270 MB over a bad line would never arrive from the start."""
    behaviour = Behaviour(CONTENT, cuts=[200_000, 300_000])
    with serving(behaviour) as address:
        code, said = place.get(address("a"))
    assert code == 0 and [asked for _, asked in behaviour.asked] == [None, "bytes=200000-", "bytes=500000-"]
    assert place.path.read_bytes() == CONTENT and "going on at byte 500000" in said


def test_a_server_that_cannot_go_on_is_asked_for_all_of_it_again(place: Place) -> None:
    """To append a whole file to half of one would make neither."""
    behaviour = Behaviour(CONTENT, cuts=[300_000], knows_ranges=False)
    with serving(behaviour) as address:
        code, said = place.get(address("a"))
    assert code == 0 and "from the start" in said and place.path.read_bytes() == CONTENT


def test_a_file_without_a_mark_is_never_joined_from_two_answers(place: Place) -> None:
    """It may have changed between the two, at the same length, and no check of sizes would see it."""
    behaviour = Behaviour(CONTENT, cuts=[300_000], etag='W/"weak"')
    with serving(behaviour) as address:
        assert place.get(address("a"))[0] == 0
    assert [asked for _, asked in behaviour.asked] == [None, None] and place.path.read_bytes() == CONTENT


def test_a_file_that_changes_between_two_connections_is_fetched_anew(place: Place) -> None:
    """Two versions of one size, joined, would have finite weights that nobody has trained."""
    behaviour = Behaviour(CONTENT, cuts=list(FOR_GOOD))
    with serving(behaviour) as address:
        assert place.get(address("a"), "--attempts", "1")[0] == 9
        behaviour.content, behaviour.etag = OTHER, '"two"'
        assert place.get(address("a"))[0] == 0
    assert behaviour.asked[-1][1] == "bytes=300000-" and place.path.read_bytes() == OTHER


def test_a_part_of_another_address_is_not_gone_on_with(place: Place) -> None:
    """Both may have the mark "1"."""
    behaviour = Behaviour(CONTENT, cuts=list(FOR_GOOD))
    with serving(behaviour) as address:
        assert place.get(address("a"), "--attempts", "1")[0] == 9 and place.part.stat().st_size == 300_000
        behaviour.content = OTHER
        assert place.get(address("b"))[0] == 0
    assert behaviour.asked[-1] == ("/b", None) and place.path.read_bytes() == OTHER


def test_a_server_that_is_busy_twice_is_asked_a_third_time(place: Place) -> None:
    """A moment's overload is no reason to wake somebody."""
    behaviour = Behaviour(CONTENT, statuses=[500, 503])
    with serving(behaviour) as address:
        code, said = place.get(address("a"))
    assert code == 0 and said.count("trying again in") == 2 and len(behaviour.asked) == 3


def test_the_wait_that_a_server_asks_for_is_kept(place: Place) -> None:
    """Asking sooner is what it counts as abuse."""
    with serving(Behaviour(CONTENT, statuses=[429], headers={"Retry-After": "1"})) as address:
        code, said = place.get(address("a"))
    assert code == 0 and "trying again in 1 s" in said


@pytest.mark.parametrize(
    ("status", "cause", "told"),
    [
        (401, "REMOTE_REFUSED", "in a browser, where you can log in"),
        (403, "REMOTE_REFUSED", "in a browser, where you can log in"),
        (404, "REMOTE_REFUSED", "no such file on the server"),
        (410, "REMOTE_REFUSED", "no such file on the server"),
        (418, "REMOTE_REFUSED", "HTTP 418"),
        (204, "REMOTE_REFUSED", "HTTP 204"),
        (500, "REMOTE_FAILED", "2 times in a row"),
        (503, "REMOTE_FAILED", "2 times in a row"),
    ],
)
def test_a_server_that_refuses_or_fails_ends_with_9(place: Place, status: int, cause: str, told: str) -> None:
    """What cannot change is asked once, what may change as often as patience says."""
    behaviour = Behaviour(CONTENT, statuses=[status] * 9)
    with serving(behaviour) as address:
        code, said = place.get(address("a"), "--attempts", "2")
    assert code == 9 and said.count(f"{cause}: ") == 1 and told in said and said.count("  next:") == 1
    assert len(behaviour.asked) == (2 if cause == "REMOTE_FAILED" else 1) and not place.folder.exists()


def test_a_server_that_is_not_there_ends_with_9(place: Place) -> None:
    """No route, no name, no server: the same to whoever waits."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, said = place.get(f"http://127.0.0.1:{port}/a.pth", "--attempts", "2")
    assert code == 9 and "REMOTE_UNREACHABLE" in said and "refused" in said and not place.folder.exists()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
def test_a_server_that_cannot_prove_who_it_is_is_asked_once_and_a_certificate_of_ones_own_is_the_way_out(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stands between could send any weights; proxies of companies do stand there, with their own proof."""
    both = tmp_path / "both.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    made = [*words.split(), "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(made, check=True, capture_output=True)
    both.write_text((tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text())
    behaviour = Behaviour(CONTENT)
    with serving(behaviour, certificate=both) as address:
        code, said = place.get(address("a"))
        assert code == 9 and "REMOTE_UNREACHABLE" in said and "SSL_CERT_FILE" in said and not behaviour.asked
        assert "trying again" not in said and not place.folder.exists()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert place.get(address("a"))[0] == 0 and place.path.read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_given_up_and_what_came_is_kept(place: Place) -> None:
    """Without a limit the command would wait for ever, with one the half that came must not be lost."""
    behaviour = Behaviour(CONTENT, stall_after=128 * 1024)
    with serving(behaviour) as address:
        code, said = place.get(address("a"), "--timeout", "0.3", "--attempts", "1")
        assert code == 9 and "REMOTE_FAILED" in said and "timed out" in said and "of it are here" in said
        assert place.part.read_bytes() == CONTENT[: 128 * 1024] and not place.path.exists()
        behaviour.stall_after = None
        assert place.get(address("a"))[0] == 0
    assert behaviour.asked[-1][1] == f"bytes={128 * 1024}-" and place.path.read_bytes() == CONTENT


def test_a_slow_server_is_waited_for(place: Place) -> None:
    """Slow is not silent: the limit counts from the last byte."""
    with serving(Behaviour(CONTENT, piece=100_000, pause=0.1)) as address:
        started = time.monotonic()
        assert place.get(address("a"), "--timeout", "0.6")[0] == 0
    assert time.monotonic() - started > 0.6 and place.path.read_bytes() == CONTENT


def test_a_server_that_promises_more_than_it_has_is_given_up(place: Place) -> None:
    """It would be asked for the rest for ever."""
    with serving(Behaviour(CONTENT, promised=len(CONTENT) + 1000, knows_ranges=False)) as address:
        code, said = place.get(address("a"), "--attempts", "2")
    assert code == 9 and f"{len(CONTENT)} of {len(CONTENT) + 1000} bytes came" in said and not place.path.exists()


def test_a_server_that_promises_less_than_it_has_gives_a_cut_file(place: Place) -> None:
    """The rest is not read; that the end is missing says the file itself."""
    with serving(Behaviour(CONTENT, promised=len(CONTENT) - 1000)) as address:
        code, said = place.get(address("a"))
    assert code == 4 and "CKPT_TRUNCATED" in said and not place.folder.exists()


@pytest.mark.parametrize("cut", [False, True])
def test_a_file_of_unknown_length_is_fetched_in_chunks(place: Place, cut: bool) -> None:
    """Pages that make files as they send them do not know how long they will be."""
    behaviour = Behaviour(CONTENT, chunked=True, cuts=[256 * 1024] if cut else [])
    with serving(behaviour) as address:
        code, said = place.get(address("a"))
    assert code == 0 and "unknown size" in said and place.path.read_bytes() == CONTENT
    assert len(behaviour.asked) == 1 + cut


def test_a_hash_that_is_not_the_one_wanted_is_refused(place: Place) -> None:
    """Another file of the same kind is the fault that nothing else finds."""
    with serving(Behaviour(CONTENT)) as address:
        code, said = place.get(address("a"), "--sha256", "0" * 64)
    assert code == 4 and "CKPT_HASH_MISMATCH" in said and "0" * 64 in said and not place.folder.exists()


def test_the_same_address_again_is_not_fetched_again(place: Place) -> None:
    """270 MB to be told that nothing has changed."""
    behaviour = Behaviour(CONTENT)
    with serving(behaviour) as address:
        assert place.get(address("a"))[0] == 0
        before = place.content()
        code, said = place.get(address("a"))
        wanted = place.get(address("a"), "--sha256", sha256(place.path))
    assert code == 0 and "The same file lies there already" in said and place.content() == before
    assert wanted[0] == 0 and len(behaviour.asked) == 2, "a hash that is there already needs no server"


def test_another_file_at_an_address_is_refused_before_it_is_fetched(place: Place, given: Path) -> None:
    """To load a quarter of a gigabyte in order to refuse it helps nobody."""
    place.get(str(given))
    before = place.content()
    with serving(Behaviour(CONTENT + b"more", stall_after=0)) as address:
        code, said = place.get(address("a"))
    assert code == 2 and "CKPT_EXISTS" in said and place.content() == before


def test_another_file_of_the_same_size_is_refused_when_it_is_known_and_kept_for_the_second_thought(
    place: Place, given: Path
) -> None:
    """With --replace it need not be fetched again."""
    place.get(str(given))
    before = place.content()
    behaviour = Behaviour(OTHER)
    with serving(behaviour) as address:
        code, said = place.get(address("a"))
        assert code == 2 and "CKPT_EXISTS" in said and {**place.content(), **before} == place.content()
        assert place.get(address("a"), "--replace")[0] == 0
    assert len(behaviour.asked) == 1 and place.path.read_bytes() == OTHER
    assert set(place.content()) == {"checkpoint.pth", "checkpoint.pth.json"}


class Started:
    """The tool as a process of its own, on a slow server, in the middle of a download."""

    def __init__(self, place: Place, url: str) -> None:
        words = [url, "--checkpoints", str(place.root), *QUICK]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "utils.get_checkpoint", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_all_signals,
        )
        deadline = time.monotonic() + 60
        while not (place.part.is_file() and place.part.stat().st_size > 100_000):
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)

    def end(self, signal_name: str) -> tuple[int, str]:
        self.process.send_signal(getattr(signal, signal_name))
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def slow() -> Iterator[tuple[Behaviour, Callable[[str], str]]]:
    behaviour = Behaviour(CONTENT, piece=20_000, pause=0.05)
    with serving(behaviour) as address:
        yield behaviour, address


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_download_that_is_stopped_or_killed_goes_on_where_it_was(place: Place, slow, name: str) -> None:
    """A part that is lost, or a part that has the final name: both have cost people an evening."""
    behaviour, address = slow
    code, said = Started(place, address("a")).end(name)
    assert code == (-9 if name == "SIGKILL" else 75) and not place.path.exists()
    if name != "SIGKILL":
        assert (
            said.startswith(f"INTERRUPTED: stopped by {name}.") and str(place.part) in said and "same command" in said
        )
        assert not (place.folder / "run.lock").exists()
    came = place.part.read_bytes()
    assert CONTENT.startswith(came) and len(came) > 100_000
    behaviour.pause = 0.0
    code, said = place.get(address("a"))
    assert code == 0 and behaviour.asked[-1][1] == f"bytes={len(came)}-" and f"going on at byte {len(came)}" in said
    assert place.path.read_bytes() == CONTENT and set(place.content()) == {"checkpoint.pth", "checkpoint.pth.json"}


def test_a_kill_between_the_last_byte_and_the_name_needs_no_server_any_more(place: Place) -> None:
    """The whole file is there; only its name is not."""
    behaviour = Behaviour(CONTENT)
    with serving(behaviour) as address:
        assert place.get(address("a"), "--sha256", "0" * 64)[0] == 4
        behaviour.cuts = [len(CONTENT) - 1, 0]
        assert place.get(address("a"), "--attempts", "1")[0] == 9
        with place.part.open("ab") as file:
            file.write(CONTENT[-1:])
        asked = len(behaviour.asked)
        assert place.get(address("a"))[0] == 0
    assert len(behaviour.asked) == asked and place.path.read_bytes() == CONTENT


def test_a_download_is_never_in_memory_as_a_whole(place: Place) -> None:
    """A server that never ends would take the machine with it; here 64 MB pass through a process of little more."""
    code = (
        "import resource, sys, threading\n"
        "from pathlib import Path\n"
        "from tests.utils.file_server import Behaviour, serving\n"
        "from utils.download import Download, Patience\n"
        "content = bytes(64_000_000)\n"
        "with serving(Behaviour(content, piece=1_000_000)) as address:\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    Download(address('a'), Path(sys.argv[1]), Patience(), lambda offer: True).fetch()\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    place.folder.mkdir(parents=True)
    words = [sys.executable, "-c", code, str(place.part)]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(answer.stdout.splitlines()[-1]) * unit < 16_000_000 and place.part.stat().st_size == 64_000_000


def test_the_script_takes_a_path_as_seen_from_where_it_is_typed(place: Place, given: Path) -> None:
    """Scripts go to the project's folder first; `weights.pth` of the downloads would be looked for there."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TIMERXL_PYTHON": sys.executable}
    words = ["bash", str(ROOT / "scripts" / "get_checkpoint.sh"), given.name, "--checkpoints", str(place.root)]
    answer = subprocess.run(words, cwd=given.parent, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert place.path.read_bytes() == CONTENT and "python run.py" in answer.stdout
