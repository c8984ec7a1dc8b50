"""`python -m auth operator …`: operators come to be, and to an end, here only. Prints JSON."""

import secrets
import sys
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from auth.operator import queries, rules, service
from auth.password.hashing import Hasher
from auth.password.rules import MAX_LENGTH, MIN_LENGTH, weakness
from auth.password.service import address_key, get_parameters
from auth.settings import AuthSettings
from common.ids import Kind, to_text
from common.operators import By, at_the_platform, from_environment, run, say
from common.schema import Email

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
_COMPANY = "PenguinMails"
_GENERATED_BYTES = 24

commands = typer.Typer(no_args_is_help=True, help="Operators of the platform; prints JSON.")

Address = Annotated[str, typer.Option("--email")]


@commands.command()
def create(
    email: Address,
    name: Annotated[str, typer.Option()],
    by: By,
    from_stdin: Annotated[bool, typer.Option("--password-stdin", help="Else one is generated.")] = False,
) -> None:
    """Create an operator; what is printed of password and TOTP is never shown again."""
    password = sys.stdin.readline().rstrip("\n") if from_stdin else None
    run(_create(_read_email(email), name, password, by))


@commands.command()
def close(email: Address, by: By) -> None:
    """Let an operator log in no more."""
    run(_close(_read_email(email), by))


async def _create(email: str, name: str, given: str | None, by: str) -> None:
    settings = from_environment(AuthSettings)
    password = given or secrets.token_urlsafe(_GENERATED_BYTES)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise typer.BadParameter(f"the password must have {MIN_LENGTH} to {MAX_LENGTH} characters")
    if why := weakness(password, email, _COMPANY):
        raise typer.BadParameter(f"the password {why}")
    totp_secret = rules.new_secret() if settings.operator_mfa_required else None
    async with at_the_platform(settings, "auth", by) as session:
        parameters = await get_parameters(
            session, address_key(settings.link_secret.get_secret_value(), email), settings.password_cost
        )
        password_hash = await Hasher(1, 1).hash(password, parameters)
        row = await service.create(session, email, name, password_hash, totp_secret, settings.encryption_keys)
        await session.commit()
    say(
        {
            "operator_id": to_text(Kind.OPERATOR, row.operator_id),
            "email": row.email,
            "name": row.name,
            "password": None if given else password,
            "otpauth_uri": rules.enrolment_uri(totp_secret, email) if totp_secret else None,
        }
    )


async def _close(email: str, by: str) -> None:
    async with at_the_platform(from_environment(AuthSettings), "auth", by) as session:
        row = await queries.find_by_email(session, email, lock=True)
        if row is None:
            raise typer.BadParameter(f"there is no operator {email}")
        await service.close(session, row)
        await session.commit()
    say({"operator_id": to_text(Kind.OPERATOR, row.operator_id), "status": row.status})


def _read_email(text: str) -> str:
    try:
        return _EMAIL.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(f"{text} is not an e-mail address") from error
