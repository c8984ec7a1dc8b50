"""Asks the services' own operators' commands, with the stack's settings."""

import getpass
import importlib
import io
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import Progress

from penguinmails.display import console
from penguinmails.stack import Stack

if TYPE_CHECKING:
    from common.service import Service

Document = dict[str, Any]
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Asked:
    """A service's command under way, and what it prints."""

    process: ForkProcess
    heard: Connection


def load(service: str) -> "Service":
    """The declaration of a service."""
    return importlib.import_module(f"{service}.__main__").SERVICE


def by() -> tuple[str, str]:
    """The option that names who is at the keyboard in the audit log."""
    return "--by", getpass.getuser()


def ask(stack: Stack, services: Sequence[str], *words: str, said: str = "") -> list[Document]:
    """What `python -m SERVICE …`, to which `said` is typed, answers, one document a line, and by whom; exits
    when one fails."""
    started = [(service, _start(stack, service, *words, said=said)) for service in services]
    documents: list[Document] = []
    for service, process in started:
        documents += ({"service": service, **answer} for answer in _answers(service, process))
    return documents


def follow(stack: Stack, service: str, *words: str) -> Iterator[Document]:
    """What one service answers, as it comes; exits at the end when it failed."""
    return _answers(service, _start(stack, service, *words))


def _start(stack: Stack, service: str, *words: str, said: str = "") -> Asked:
    """A fork of ours that has the service's environment: what services share is loaded once for all."""
    declaration = load(service)
    heard, tells = _FORK.Pipe(duplex=False)
    environment = stack.config.service_environment(service)
    process = _FORK.Process(target=_play, args=(declaration, environment, words, said, tells))
    process.start()
    tells.close()
    return Asked(process, heard)


def _play(
    declaration: "Service", environment: dict[str, str], words: Sequence[str], said: str, tells: Connection
) -> None:
    """Be `python -m SERVICE …`, whose output goes to the pipe."""
    from common.cli import main  # noqa: PLC0415 - most of our commands need no service

    os.environ.update(environment)
    os.dup2(tells.fileno(), 1)
    sys.stdout, sys.stdin = open(1, "w", buffering=1, closefd=False), io.StringIO(said)  # noqa: SIM115
    sys.argv = [declaration.name, *words]
    main(declaration, called="penguinmails")


def _answers(service: str, asked: Asked) -> Iterator[Document]:
    """The documents of one service, with a bar for those that only tell progress."""
    with (
        open(asked.heard.fileno(), closefd=False) as lines,
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(service, total=None, visible=False)
        for line in lines:
            document = json.loads(line)
            if "progress" in document:
                step = document["progress"]
                bar.update(task, completed=step["done"], total=step["total"], visible=True)
            else:
                yield document
    asked.heard.close()
    asked.process.join()
    if asked.process.exitcode:
        typer.echo(f"{service}: the command failed with status {asked.process.exitcode}.", err=True)
        raise typer.Exit(1)
