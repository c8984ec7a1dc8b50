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


def operator() -> tuple[str, str]:
    """The option that names who is at the keyboard in the audit log."""
    return "--operator", getpass.getuser()


def ask(stack: Stack, services: Sequence[str], *words: str) -> list[Document]:
    """What `python -m SERVICE …` answers, one document a line, and by whom; exits when one fails."""
    started = [(service, _start(stack, service, *words)) for service in services]
    documents: list[Document] = []
    for service, process in started:
        documents += ({"service": service, **answer} for answer in _answers(service, process))
    return documents


def _start(stack: Stack, service: str, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **stack.config.service_environment(service)}
    command = [sys.executable, "-m", service, *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


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
        console.print(f"[red]{service}: the command failed with status {process.returncode}.[/]")
        raise typer.Exit(1)
