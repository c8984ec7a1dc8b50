"""The commands that make files from the code, and check them: the documents of API and events, dashboards,
the list of the documentation."""

from pathlib import Path
from typing import Annotated, Protocol

import typer

from penguinmails import contents, dashboards
from penguinmails.display import console
from penguinmails.terminal import escape

app = typer.Typer()

Root = Annotated[Path, typer.Argument(help="The repository.")]
Check = Annotated[bool, typer.Option("--check", help="Only say what is out of date, or breaks clients.")]
Release = Annotated[bool, typer.Option("--release", help="Clients may rely on it from now on.")]


class Documents(Protocol):
    """Files of the repository that follow from the code, and what was released of them."""

    RELEASED: Path

    @staticmethod
    def write(root: Path) -> None: ...

    @staticmethod
    def stale(root: Path) -> list[str]: ...

    @staticmethod
    def breaking(root: Path) -> list[str]: ...

    @staticmethod
    def release(root: Path) -> None: ...


@app.command(name="api-document")
def make_api_document(root: Root = Path(), check: Check = False, release: Release = False) -> None:
    """Make the OpenAPI document of all services, and docs/api.md, from their code."""
    # Imports every service, which the other commands do not need.
    from penguinmails import reference  # noqa: PLC0415

    _make(reference, root, check=check, release=release)


@app.command(name="event-document")
def make_event_document(root: Root = Path(), check: Check = False, release: Release = False) -> None:
    """Make the AsyncAPI document, docs/events.md and an example of every event from the contracts."""
    from penguinmails.event_reference import pages  # noqa: PLC0415  # as above

    _make(pages, root, check=check, release=release)


@app.command(name="dashboards")
def make_dashboards(root: Root = Path(), check: Check = False) -> None:
    """Make Grafana's dashboards."""
    outdated = [path for path, page in dashboards.pages().items() if not check_file(root / path, page)]
    if not check:
        for path in outdated:
            (root / path).write_text(dashboards.pages()[path], encoding="utf-8")
        return
    for path in outdated:
        console.print(f"[red]{path} is out of date:[/] make docs")
    raise typer.Exit(1 if outdated else 0)


@app.command(name="contents")
def make_contents(root: Root = Path(), check: Check = False) -> None:
    """Make docs/README.md, the list of pages and decisions."""
    page = contents.render(root)
    if not check:
        (root / contents.PAGE).write_text(page, encoding="utf-8")
    elif not check_file(root / contents.PAGE, page):
        console.print(f"[red]{contents.PAGE} is out of date:[/] make docs")
        raise typer.Exit(1)


def check_file(path: Path, page: str) -> bool:
    """Whether the file is there and says that."""
    return path.is_file() and path.read_text(encoding="utf-8") == page


def _make(documents: Documents, root: Path, *, check: bool, release: bool) -> None:
    if not check:
        documents.write(root)
        if release:
            documents.release(root)
        return
    outdated = documents.stale(root)
    for path in outdated:
        console.print(f"[red]{path} is out of date:[/] make docs")
    broken = documents.breaking(root)
    for change in broken:
        console.print(f"[red]Breaks clients of {documents.RELEASED}:[/] {escape(change)}")
    raise typer.Exit(1 if outdated or broken else 0)
