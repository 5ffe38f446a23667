"""The pages agree with one another and with the repository: Spanish with English, links and commands with files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TRANSLATED = (
    "README.md", "docs/data.md", "docs/comparison.md", "docs/glossary.md", "docs/model_card.md", "docs/nan.md",
    "docs/scores.md", "docs/transfer.md",
)  # fmt: skip
PAGES = sorted(
    page
    for folder in (".", "docs", "checkpoints", "checkpoints/small_encoder", "datasets")
    for page in (ROOT / folder).glob("*.md")
)
FOLDERS = ("data_provider", "docs", "exp", "layers", "models", "scripts", "tests", "utils")
SOURCES = sorted(
    {*PAGES, *ROOT.glob("*.py"), *ROOT.glob("*.sh"), *ROOT.glob("notebooks/*.ipynb")}
    | {path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", ".sh")}
)
FIRST_LINES = 6


def pair(english: str) -> tuple[str, str]:
    """Return the text of an English page and of its Spanish one."""
    page = ROOT / english
    return page.read_text(encoding="utf-8"), page.with_suffix(".es.md").read_text(encoding="utf-8")


def split_code(text: str) -> tuple[str, list[str]]:
    """Return the text outside fenced blocks, and the blocks with their fences."""
    prose: list[str] = []
    blocks: list[str] = []
    inside = False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        if fence and not inside:
            blocks.append(line)
        elif fence or inside:
            blocks[-1] += "\n" + line
        else:
            prose.append(line)
        inside ^= fence
    assert not inside, "a fenced block is never closed"
    return "\n".join(prose), blocks


def heading_levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#{1,6}) ", split_code(text)[0], flags=re.MULTILINE)]


def tables(text: str) -> list[list[str]]:
    """Return the rows of every table, header and rule included."""
    found = re.findall(r"(?:^[ \t]*\|.*(?:\n|\Z))+", split_code(text)[0], flags=re.MULTILINE)
    return [table.splitlines() for table in found]


def facts(text: str) -> set[str]:
    """Return what no language changes: numbers, and names in code."""
    return set(re.findall(r"`[^`\n]+`|\d+(?:\.\d+)*", text))


@pytest.mark.parametrize("english", TRANSLATED)
def test_both_languages_give_the_same_commands(english: str) -> None:
    """A flag renamed on one page alone would be typed for years by the readers of the other."""
    ours, theirs = pair(english)
    assert split_code(theirs)[1] == split_code(ours)[1]


@pytest.mark.parametrize("english", TRANSLATED)
def test_both_languages_have_the_same_headings_and_table_rows(english: str) -> None:
    """A section, score or column added in English would be missing in Spanish, and nobody would notice."""
    ours, theirs = pair(english)
    assert heading_levels(theirs) == heading_levels(ours)
    assert [len(table) for table in tables(theirs)] == [len(table) for table in tables(ours)]


@pytest.mark.parametrize("english", TRANSLATED)
def test_both_languages_state_the_same_numbers_and_names(english: str) -> None:
    """A figure measured anew, or a name changed, would stay old in the other language, between the same headings."""
    ours, theirs = pair(english)
    for our_table, their_table in zip(tables(ours), tables(theirs), strict=True):
        for our_row, their_row in zip(our_table, their_table, strict=True):
            assert facts(their_row) == facts(our_row), their_row
    assert facts(split_code(theirs)[0]) == facts(split_code(ours)[0])


@pytest.mark.parametrize("english", TRANSLATED)
def test_each_language_points_to_the_other_in_its_first_lines(english: str) -> None:
    """Whoever lands on the page of the other language would not learn that there is one to read."""
    page = Path(english)
    for text, other in zip(pair(english), (page.with_suffix(".es.md").name, page.name), strict=True):
        assert f"]({other})" in "\n".join(text.splitlines()[:FIRST_LINES])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_files_leads_to_a_file(page: Path) -> None:
    """A file that is moved leaves dead links behind, and the reader gives up there."""
    prose, _ = split_code(page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    files = [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [name for name in files if not (page.parent / name).exists()] == []


def test_every_script_that_is_named_exists() -> None:
    """An error message, a page or a script would tell the user to type a command that is not there."""
    absent = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in re.findall(r"\bscripts/[\w.-]+\.sh\b", path.read_text(encoding="utf-8"))
        if not (ROOT / name).is_file()
    }
    assert absent == set()
