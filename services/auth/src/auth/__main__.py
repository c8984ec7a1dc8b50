"""`python -m auth serve | consume | relay | work | run | migrate | events | secrets | operator | keys`."""

from pathlib import Path

from auth.app import create_app
from auth.handlers import HANDLERS
from auth.key.commands import commands as keys
from auth.mail.worker import send_mails
from auth.models import OperatorRow, SigningKeyRow
from auth.operator.commands import commands as operators
from auth.operator.service import name_of_secret
from auth.settings import AuthSettings
from auth.snapshot import describe
from common.cli import main
from common.exporting import Exporting
from common.resealing import Sealed
from common.service import Service

SERVICE = Service(
    name="auth",
    settings=AuthSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    describe=describe,
    exporting=Exporting(
        left_out={
            "auth.refresh_tokens": "secrets",
            "auth.password_tokens": "secrets",
            "auth.signing_keys": "the platform's",
            "auth.address_salts": "the platform's",
        }
    ),
    workers=(send_mails,),
    sealed=(
        Sealed(SigningKeyRow.private_key, SigningKeyRow.kid, lambda _, kid: kid, of_the_platform=True),
        Sealed(
            OperatorRow.totp_secret,
            OperatorRow.operator_id,
            lambda _, operator_id: name_of_secret(operator_id),
            of_the_platform=True,
        ),
    ),
    commands={"operator": operators, "keys": keys},
)

if __name__ == "__main__":
    main(SERVICE)
