"""Looks for what belongs to one tenant in what the other is told."""

import json

from penguinmails.isolation import typeids
from penguinmails.isolation.exchange import Answer, Request
from penguinmails.isolation.party import Party


def found(owner: Party, answer: Answer, request: Request, told: frozenset[str] = frozenset()) -> list[str]:
    """What of `owner` stands in the answer to somebody else, in words.

    `instance` of a problem and `Location` repeat the request's own address: not a leak. `told`: what else
    the caller may be shown, having said it itself.
    """
    places = {"the body": _without_instance(answer)}
    for name, value in answer.headers:
        echo = name == "location"
        places[f"header {name}"] = "" if echo and owner.mark not in value else value
    said: frozenset[str] = told | frozenset([owner.bait] if owner.bait in request.text else [])
    return [
        f"{description} of tenant {owner.label} in {place}"
        for place, text in places.items()
        for description, secret in _secrets(owner)
        if secret and secret not in said and secret in text.lower()
    ]


def of_the_log(owner: Party, sent: set[str]) -> frozenset[str]:
    """What an attacker's own audit log may show of `owner`: what the attacker named."""
    return frozenset({*sent, *map(typeids.uuid_text, sent), owner.bait})


def _secrets(owner: Party) -> list[tuple[str, str]]:
    ids = [value for values in owner.ids.values() for value in values]
    return [
        ("the marker in names", owner.mark),
        ("the word in names and addresses", owner.bait),
        ("the access token", owner.token.lower()),
        ("the refresh token", owner.refresh_token.lower()),
        *((f"identifier {value}", value) for value in ids),
        *((f"the UUID of {value}", typeids.uuid_text(value)) for value in ids),
    ]


def _without_instance(answer: Answer) -> str:
    if answer.success or "instance" not in answer.fields:
        return answer.text
    return json.dumps({name: value for name, value in answer.fields.items() if name != "instance"})
