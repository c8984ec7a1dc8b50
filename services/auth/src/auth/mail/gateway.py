"""The mail server, over SMTP."""

from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import unquote, urlsplit

import aiosmtplib

_CONNECT_SECONDS = 5.0
_REPLY_SECONDS = 600.0
"""RFC 5321, 4.5.3.2.6: giving up earlier on the reply to a mail's end makes duplicates."""
_PORTS = {"smtp": 25, "smtps": 465}


class ServerAway(Exception):
    """Nobody answers, or not in SMTP: any mail would have failed."""


class NotNow(Exception):
    """The server put this mail off (4xx)."""


class Refused(Exception):
    """The server will never take this mail (5xx)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"SMTP reply {code}")
        self.code = code


class MailServer:
    """The server behind an `smtp://` or `smtps://` URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("SMTP_URL must be smtp://host[:port] or smtps://host[:port]")
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._implicit_tls = parts.scheme == "smtps"
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None

    async def send(self, message: EmailMessage, sender: str, recipient: str) -> None:
        """Hand one mail over; returns when the server has taken it.

        Raises:
            ServerAway, NotNow, Refused: it has not.
        """
        try:
            async with self._connection() as connection:
                utf8 = not recipient.isascii()
                await connection.sendmail(
                    sender,
                    [recipient],
                    message.as_bytes(policy=SMTP.clone(utf8=utf8)),
                    mail_options=["SMTPUTF8"] if utf8 else [],
                    timeout=_REPLY_SECONDS,
                )
        except aiosmtplib.SMTPException as error:
            raise _sorted_out(error) from error
        except OSError as error:
            raise ServerAway from error

    def _connection(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._implicit_tls,
            start_tls=True if self._password and not self._implicit_tls else None,
            timeout=_CONNECT_SECONDS,
        )


def _sorted_out(error: aiosmtplib.SMTPException) -> Exception:
    code = _reply_code(error)
    if code is None or isinstance(error, aiosmtplib.SMTPAuthenticationError | aiosmtplib.SMTPConnectError):
        return ServerAway()
    return Refused(code) if 500 <= code < 600 else NotNow()


def _reply_code(error: aiosmtplib.SMTPException) -> int | None:
    """The server's reply, or None when there was none."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return error.recipients[0].code
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return 553  # the server cannot take an internationalised address
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
