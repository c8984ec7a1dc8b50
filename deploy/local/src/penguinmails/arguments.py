"""Arguments of several commands. What is no id is told here, once, before any service is asked."""

from collections.abc import Callable
from typing import Annotated

import typer

from common.ids import Kind, parse


def _of(kind: Kind) -> Callable[[str | None], str | None]:
    def check(text: str | None) -> str | None:
        try:
            if text is not None:
                parse(kind, text)
        except ValueError as error:
            raise typer.BadParameter(f"{text} is no {kind.name.lower()}'s id") from error
        return text

    return check


Event = Annotated[str, typer.Argument(help="As it is listed: evt_….", callback=_of(Kind.EVENT))]
MaybeEvent = Annotated[str | None, typer.Argument(help="evt_…, or --all.", callback=_of(Kind.EVENT))]
Tenant = Annotated[str, typer.Argument(help="As in `list`: tenant_….", callback=_of(Kind.TENANT))]
