"""Asks the services' own operators' commands, with the stack's settings."""

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from rich.progress import Progress

from penguinmails.display import console
from penguinmails.stack import Stack

Document = dict[str, Any]


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


def _start(stack: Stack, service: str, *words: str, said: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, **stack.config.service_environment(service)}
    command = [sys.executable, "-m", service, *words]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if process.stdin is not None:
        process.stdin.write(said)
        process.stdin.close()
    return process


def _answers(service: str, process: subprocess.Popen[str]) -> Iterator[Document]:
    """The documents of one service, with a bar for those that only tell progress."""
    with process, Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(service, total=None, visible=False)
        for line in process.stdout or ():
            document = json.loads(line)
            if "progress" in document:
                step = document["progress"]
                bar.update(task, completed=step["done"], total=step["total"], visible=True)
            else:
                yield document
    if process.returncode:
        typer.echo(f"{service}: the command failed with status {process.returncode}.", err=True)
        raise typer.Exit(1)
