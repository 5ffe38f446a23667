"""Real pages in a real browser: wide and narrow, light and dark, in both languages.

Where there is no Chromium these tests are skipped; scripts/test.sh installs one with CI=true or TEST_BROWSER=1.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from exp.compare import alike, content, reading
from exp.report import words, write
from tests.browser import Browser, program
from tests.exp.report.test_comparison_page import CONTENT

REASON = os.environ.get("TIMERXL_NO_BROWSER") or "no Chromium here; TEST_BROWSER=1 bash scripts/test.sh installs one"
pytestmark = pytest.mark.skipif(program() is None, reason=REASON)
PHONE, DESK = 390, 1280
# Text that is less than this much lighter or darker than what is behind it is hard to read: WCAG 2.1, level AA.
LEAST_CONTRAST = 4.5
CONTRAST = """(() => {
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const colour = (query, what) => getComputedStyle(document.querySelector(query))[what];
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const paper = light(colour('body', 'backgroundColor')), card = light(colour('.card', 'backgroundColor'));
  return Math.min(ratio(light(colour('.lead', 'color')), paper), ratio(light(colour('.subtitle', 'color')), paper),
    ratio(light(colour('.note', 'color')), card), ratio(light(colour('.card th', 'color')), card));
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests: it takes seconds to start."""
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module", params=words.LANGUAGES)
def pages(
    request: pytest.FixtureRequest, finished_run: Path, amount_runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """The pages of a run and of a comparison, of a classification and of regressions, in one language."""
    folder = tmp_path_factory.mktemp(request.param)
    regressions = sorted(amount_runs.glob("*-seed0-*"))
    own = [Path(shutil.copytree(run, folder / run.name)) for run in (finished_run, regressions[-1])]
    _widen(own[0] / "scores.json")
    amounts = content.of(alike.require(reading.read_all(regressions)))
    (folder / "amounts").mkdir()
    return [
        *(write.write_run(run, request.param) for run in own),
        write.write_comparison(folder, CONTENT, request.param),
        write.write_comparison(folder / "amounts", amounts, request.param),
    ]


def _widen(path: Path) -> None:
    """Give every difference the longest text it can have: a period this short has no intervals of its own."""
    scores = json.loads(path.read_text(encoding="utf-8"))
    for reference in scores["test"]["against"].values():
        for name in set(reference) - {"diebold_mariano"}:
            reference[name] = {"difference": -0.123, "interval": [-0.234, -0.012], "is_real": False}
    path.write_text(json.dumps(scores), encoding="utf-8")


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_it_opens_without_a_request_a_complaint_or_a_scroll_sideways(
    browser: Browser, pages: list[Path], width: int, is_dark: bool
) -> None:
    """On a telephone a page that is wider than the screen is not read, and a dark screen must not show dark text."""
    for page in pages:
        browser.open(page, width=width, is_dark=is_dark)
        assert (browser.requests(), browser.complaints()) == ([], [])
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value(CONTRAST) >= LEAST_CONTRAST
        # What is folded away is part of the page too.
        browser.value("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert browser.value("document.documentElement.scrollWidth") <= width


def test_the_dark_page_is_dark(browser: Browser, pages: list[Path]) -> None:
    """A style sheet that ignores the screen would pass every test of contrast."""
    shades = []
    for is_dark in (False, True):
        browser.open(pages[0], width=DESK, is_dark=is_dark)
        shades.append(browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))
    assert int(shades[0]) > 200 and int(shades[1]) < 60
