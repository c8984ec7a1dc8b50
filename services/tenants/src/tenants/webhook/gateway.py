"""Stripe's signature and the outside of its events, read with its own SDK."""

import re
from dataclasses import dataclass
from typing import Any

import stripe

from tenants.webhook.errors import WebhookInvalid

_EVENT = re.compile(r"evt_[A-Za-z0-9_]{1,250}")
_TYPE = re.compile(r"[a-z0-9_.]{1,100}")
_CUSTOMER = re.compile(r"cus_[A-Za-z0-9_]{1,250}")


@dataclass(frozen=True, slots=True)
class Told:
    """An event: which, of what type, about which customer. What it says besides is asked for again."""

    event_id: str
    type: str
    customer_id: str | None


def read(body: bytes, signature: str | None, secret: str, tolerance: int) -> Told:
    """The event in a request's body, byte for byte as it came; `tolerance` in seconds.

    Raises:
        WebhookInvalid: Stripe did not sign exactly this, or too long ago, or it is no event.
    """
    try:
        event = stripe.Webhook.construct_event(body, signature, secret, tolerance)
        told = Told(event["id"], event["type"], _customer_of(event["data"]["object"]))
        if not (_EVENT.fullmatch(told.event_id) and _TYPE.fullmatch(told.type)):
            raise WebhookInvalid
    except (stripe.SignatureVerificationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WebhookInvalid from error
    return told


def _customer_of(subject: Any) -> str | None:
    """The customer that an object of Stripe's is, or belongs to."""
    if getattr(subject, "object", None) == "customer":
        found = subject.id
    else:
        found = getattr(subject, "customer", None)
        found = found if isinstance(found, str) else getattr(found, "id", None)
    return found if isinstance(found, str) and _CUSTOMER.fullmatch(found) else None
