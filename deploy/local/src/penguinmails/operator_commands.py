"""`penguinmails operator …` and `penguinmails tenants …`: the services' own commands, shown to people."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.json import JSON
from rich.table import Table

from penguinmails import display
from penguinmails.arguments import Tenant
from penguinmails.display import console
from penguinmails.services import Document, ask, by
from penguinmails.stack import Stack
from penguinmails.terminal import escape

Running = Callable[[], Stack]
Asked = Callable[..., list[Document]]
Address = Annotated[str, typer.Option("--email", help="What they log in with.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Override = Annotated[str | None, typer.Option(help="A number, or `plan` to lift the override.")]


def operator_app(running: Running) -> typer.Typer:
    """Commands about operators themselves, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Operators of the platform.")

    @app.command()
    def create(
        email: Address,
        name: Annotated[str, typer.Option(help="Of the person.")],
        generate: Annotated[bool, typer.Option("--generate", help="Make a password, do not ask.")] = False,
    ) -> None:
        """Create an operator; the password is asked for, or made and printed once."""
        stack, password = running(), ""
        if not generate and sys.stdin.isatty():
            password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        words = ["create", "--email", email, "--name", name, *(["--password-stdin"] if password else [])]
        (made,) = ask(stack, ["auth"], "operator", *words, *by(), said=password)
        _show_operator(made)

    @app.command()
    def close(email: Address) -> None:
        """Let an operator log in no more."""
        ask(running(), ["auth"], "operator", "close", "--email", email, *by())
        console.print(f"{escape(email)} can log in no more.")

    _ = (create, close)
    return app


def tenants_app(running: Running) -> typer.Typer:
    """What operators see of tenants and do to them, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Tenants: look, suspend, override.")

    def asked(*words: str) -> list[Document]:
        return ask(running(), ["tenants"], "tenants", *words, *by())

    _add_looks(app, asked)
    _add_acts(app, asked)
    return app


def _add_looks(app: typer.Typer, asked: Asked) -> None:
    @app.command("list")
    def list_tenants(
        q: Annotated[str | None, typer.Option(help="Part of the company's name.")] = None,
        status: Annotated[str | None, typer.Option()] = None,
        plan: Annotated[str | None, typer.Option()] = None,
        as_json: AsJson = False,
    ) -> None:
        """All tenants, newest first."""
        found = asked("list", *_options(q=q, status=status, plan=plan))
        display.machine_readable(found) if as_json else console.print(_table(found))

    @app.command()
    def show(tenant: Tenant) -> None:
        """One tenant: what holds for it, and what operators have overridden."""
        _print(asked("show", tenant))

    _ = (list_tenants, show)


def _add_acts(app: typer.Typer, asked: Asked) -> None:
    @app.command()
    def suspend(tenant: Tenant, reason: Annotated[str, typer.Option(help="For the audit log.")]) -> None:
        """Suspend a tenant: its owners and admins may read, nobody may change or send anything."""
        _print(asked("suspend", tenant, "--reason", reason))

    @app.command()
    def reactivate(tenant: Tenant) -> None:
        """Lift the operators' suspension."""
        _print(asked("reactivate", tenant))

    @app.command()
    def limits(
        tenant: Tenant,
        max_workspaces: Override = None,
        max_users: Override = None,
        email_sends_per_month: Override = None,
    ) -> None:
        """Override limits of the plan; `plan` lifts an override."""
        said = _options(
            max_workspaces=max_workspaces, max_users=max_users, email_sends_per_month=email_sends_per_month
        )
        _print(asked("limits", tenant, *said))

    @app.command()
    def flag(tenant: Tenant, name: str, value: str) -> None:
        """Override a feature flag: on, off, a number, or `plan` to lift the override."""
        _print(asked("flag", tenant, name, value))

    _ = (suspend, reactivate, limits, flag)


def _print(tenants: list[Document]) -> None:
    for tenant in tenants:
        console.print(JSON.from_data(tenant))


def _options(**given: str | None) -> list[str]:
    named = {name: value for name, value in given.items() if value is not None}
    return [word for name, value in named.items() for word in (f"--{name.replace('_', '-')}", value)]


def _show_operator(made: Document) -> None:
    console.print(f"[green]{escape(made['email'])}[/] is the operator {made['operator_id']}.")
    for name, label in (("password", "Password"), ("otpauth_uri", "For the app that makes codes")):
        if made[name] is not None:
            console.print(f"{label}: {made[name]}", markup=False, soft_wrap=True)
    console.print("[yellow]What is secret above is not shown again.[/]")


def _table(found: list[Document]) -> Table:
    table = Table("tenant", "company", "plan", "status", "suspended by", "since", box=None, pad_edge=False)
    for tenant in found:
        table.add_row(
            tenant["tenant_id"],
            escape(tenant["company_name"]),
            tenant["plan"],
            tenant["status"],
            ", ".join(tenant["suspensions"]),
            tenant["created_at"],
        )
    return table
