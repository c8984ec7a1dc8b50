"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
MAX_FUNCTION = 50


def tracked(pattern: str) -> list[Path]:
    """Files of the repository, new ones included."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "--", pattern]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


SOURCES = [path for path in tracked("*.py") if "tests" not in path.parts and path.name != "conftest.py"]


def functions(path: Path) -> list[tuple[str, int, ast.AST]]:
    """Name, length in lines and node of every function of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(node.name, (node.end_lineno or 0) - node.lineno + 1, node) for node in found]


def test_files_stay_short() -> None:
    long = {p.name: n for p in tracked("*.py") if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_functions_stay_short() -> None:
    lengths = {f"{p.name}:{name}": n for p in SOURCES for name, n, _ in functions(p)}
    assert not {name: n for name, n in lengths.items() if n > MAX_FUNCTION}
    assert median(lengths.values()) <= 10
    assert quantiles(lengths.values(), n=10)[8] <= 30


@pytest.mark.parametrize(
    "words", [r"\b(TODO|FIXME|XXX)\b", r"except[^\n]*:\n\s+pass\b", r"NotImplementedError"]
)
def test_nothing_is_left_for_later(words: str) -> None:
    marked = [p.name for p in SOURCES if re.search(words, p.read_text())]
    assert not marked


def test_no_module_is_a_drawer_for_everything() -> None:
    names = {path.stem for path in SOURCES}
    assert not names & {"utils", "util", "helpers", "helper", "manager", "managers", "misc", "base_service"}


def test_every_module_says_what_it_is() -> None:
    silent = [p for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not [str(p.relative_to(ROOT)) for p in silent]


def test_slices_never_commit_and_never_open_connections() -> None:
    """The edge (endpoints, consumers, workers) commits; what lies below works in the session it is given."""
    slices = [p for p in SOURCES if p.name in ("service.py", "queries.py", "rules.py")]
    assert slices
    banned = re.compile(r"\.commit\(|asyncpg\.connect|create_async_engine")
    offenders = [p for p in slices if banned.search(p.read_text())]
    assert not offenders


def test_handlers_stand_in_a_literal_table() -> None:
    for path in ROOT.glob("services/*/src/*/handlers.py"):
        nodes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.AnnAssign)]
        tables = [n.value for n in nodes if isinstance(n.target, ast.Name) and n.target.id == "HANDLERS"]
        assert len(tables) == 1, path
        assert isinstance(tables[0], ast.Dict), path


def test_nothing_of_a_machine_is_in_the_project() -> None:
    pattern = re.compile(r"/(root|home|work)/[a-z]|https?://[a-z.]*(pypi|npmjs|maven)\.[a-z]+/")
    globs = ("*.py", "*.md", "*.yaml", "*.toml", "Makefile", ".ci/*")
    named = [p for glob in globs for p in tracked(glob) if pattern.search(p.read_text())]
    assert not named
