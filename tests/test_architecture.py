"""The house keeps its shape: who may import whom, what lies at the root, where argparse and print may live."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("models", "layers", "data_provider", "exp", "utils")
MAY_IMPORT = {
    "layers": {"utils"},
    "models": {"layers", "utils"},
    "data_provider": {"utils"},
    "exp": {"models", "layers", "data_provider", "utils"},
    "utils": set(),
}
ROOT_FILES = {
    ".gitattributes", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.es.md", "README.md",
    "constraints.txt", "debug_nan_source.py", "pyproject.toml", "requirements-dev.txt", "requirements.txt", "run.py",
}  # fmt: skip
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imported_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    """An import against the direction would tie models to data and make both hard to read alone."""
    room = path.relative_to(ROOT).parts[0]
    own = imported_names(ast.parse(path.read_text(encoding="utf-8"))) & set(ROOMS)
    assert own - {room} <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_argparse_and_print_live_only_at_the_command_line(path: Path) -> None:
    """A print below the command line cannot be silenced, and a parser below it hides flags."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == ROOT / "utils" / "flags.py":
        return
    assert "argparse" not in imported_names(tree)
    body = [node for node in tree.body if not _is_main_block(node)]
    calls = [node for part in body for node in ast.walk(part) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_acts_at_import(path: Path) -> None:
    """A module that does work when it is imported surprises whoever only wanted a name from it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [node for node in tree.body if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)]
    loops = [node for node in tree.body if isinstance(node, ast.For | ast.While | ast.With)]
    assert not bare and not loops


def test_nothing_replaces_missing_values_by_numbers_or_hides_an_error() -> None:
    """Replacing NaN made the loss of the case finite and its gradients deadly; a bare except hides the cause."""
    for path in [*MODULES, ROOT / "run.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert "nan_to_num" not in attributes, path
        handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
        assert all(handler.type is not None for handler in handlers), path


def test_only_known_files_lie_at_the_root() -> None:
    """A root that fills up with scripts is the first thing a newcomer gets lost in."""
    answer = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("not a git checkout")
    tracked = {name for name in answer.stdout.splitlines() if "/" not in name}
    assert tracked <= ROOT_FILES


def test_training_from_a_csv_loads_only_the_five_packages_of_a_bare_machine() -> None:
    """Importing what training needs stays quick, and training itself runs where scoring cannot."""
    code = (
        "import sys\n"
        "from exp import command_line, forecasting, rain_classification\n"
        "import models\n"
        "[models.load(name) for name in models.names()]\n"
        "heavy = {'xarray', 'netCDF4', 'scores', 'matplotlib', 'yaml', 'dask', 'jinja2'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def _is_main_block(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef) and node.name == "main":
        return True
    return isinstance(node, ast.If) and "__name__" in ast.dump(node.test)
