"""`docs/README.md`: every page and every decision, from their own titles."""

import re
from pathlib import Path

PAGE = Path("docs/README.md")
_HEAD = """# Documentation

Made from the pages' own titles and decisions by `make docs`; do not edit. What it is all about:
[README](../README.md).

## Pages
"""
_DECISION = re.compile(r"^# (\d+)\. ([^\n]+)\n+\*\*Decision: (.+?)\*\*", re.DOTALL)


class NoDecision(ValueError):
    """A file below `docs/adr` does not begin with its number, its title and its decision."""


def render(root: Path) -> str:
    """The page.

    Raises:
        NoDecision: a record of a decision is not in its form.
    """
    docs = root / PAGE.parent
    pages = sorted(path for path in docs.glob("*.md") if path.name != PAGE.name)
    lines = [f"- [{_title(path)}]({path.name})\n" for path in pages]
    lines += ["\n## Decisions\n", *(_decision(path) for path in sorted((docs / "adr").glob("*.md")))]
    return _HEAD + "".join(lines)


def _title(path: Path) -> str:
    heading = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return heading[1] if heading else path.stem


def _decision(path: Path) -> str:
    found = _DECISION.match(path.read_text(encoding="utf-8"))
    if found is None:
        raise NoDecision(f"{path} does not begin with `# NUMBER. TITLE` and `**Decision: …**`")
    number, title, decision = found.groups()
    sentence = " ".join(re.sub(r"\]\((?!http)", "](adr/", decision).split())
    return f"- [{int(number)}. {title}](adr/{path.name}): {sentence}\n"
