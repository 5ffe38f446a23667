"""Row C9 at random places: a short campaign of flipped bits, and proof that it would find a blind reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flip_campaign import Bench, Tally, go_on, main
from utils.checkpoint_sidecar import claims


def test_every_flipped_bit_and_zeroed_page_is_refused_or_read_bitwise_equal(tmp_path: Path) -> None:
    """Weights that changed on the disk are trained on and scored as if nothing had happened."""
    tally = Tally()
    go_on(Bench(tmp_path), tally, flips=200, seed=1)
    assert tally.done == 200 and not tally.wrong
    refused = sum(count for name, count in tally.results.items() if not name.endswith("equal"))
    assert refused > 100


def test_the_campaign_finds_a_reader_that_does_not_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign that cannot fail proves nothing."""
    bench = Bench(tmp_path)
    # It believes the JSON without a look at the bytes.
    monkeypatch.setattr("utils.checkpoint._verify", lambda path: (claims(path) or (None,))[0])
    tally = Tally()
    go_on(bench, tally, flips=100, seed=1)
    assert tally.wrong and not any("alone" in wrong or ".json" in wrong for wrong in tally.wrong)


def test_a_campaign_in_parts_has_the_figures_of_one_in_one_piece(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten thousand flips are made in parts where a machine is lent for an hour."""
    state = tmp_path / "flips.json"
    for flips in ("20", "40"):
        assert main(["--flips", flips, "--seed", "3", "--state", str(state)]) == 0
    in_parts = capsys.readouterr().out
    assert main(["--flips", "40", "--seed", "3"]) == 0
    assert in_parts.endswith(capsys.readouterr().out) and json.loads(state.read_text())["done"] == 40
    with pytest.raises(SystemExit, match="seed 3"):
        main(["--flips", "50", "--seed", "4", "--state", str(state)])
