"""An `Actor` as the claims of an access token, and back: the one place that knows their names. Pure.

`client_id`, `sub` and `scope` are RFC 9068's; `acr` is the NSIS level by its URI; the others are this gateway's own, and
stand in a token only where they say something. A token without them is a system's, as SMART Backend Services has it.
No claim holds a person's number or a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.access import Actor, Assurance, Kind, Purpose
from gateway.access.scopes import Scopes

NSIS: Final = "https://data.gov.dk/concept/core/nsis/"
"""National Standard for Identiteters Sikringsniveauer: levels as URIs, `…/Low`, `…/Substantial`, `…/High`."""
_TEXTS: Final = ("organisation", "role", "authorisation", "reason", "session")
_REFERENCES: Final = ("person", "on_behalf_of", "patient")
_REFERENCE: Final = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")
_TEXT_MAX: Final = 500
_PURPOSES: Final[Mapping[Kind, frozenset[Purpose]]] = {
    Kind.SYSTEM: frozenset({Purpose.SHARING, Purpose.OPERATION}),
    Kind.CITIZEN: frozenset({Purpose.OWN}),
    Kind.STAFF: frozenset({Purpose.TREATMENT, Purpose.VAERDISPRING, Purpose.CONSENT, Purpose.QUALITY}),
    Kind.OPERATOR: frozenset({Purpose.OPERATION}),
}
"""What each kind of caller may come for; the first word about it, not the last (`access.decide`)."""


class ClaimError(ValueError):
    """Claims that do not belong together; the text repeats no value."""


def level(uri: object) -> Assurance:
    """Return the assurance that an NSIS URI or its last word names (any case), NONE for anything else."""
    name = uri.removeprefix(NSIS).upper() if isinstance(uri, str) else ""
    return Assurance[name] if name in Assurance.__members__ else Assurance.NONE


def acr(assurance: Assurance) -> str:
    """Return the NSIS URI of a level, '' for NONE."""
    return f"{NSIS}{assurance.name.capitalize()}" if assurance else ""


def claims_of(actor: Actor) -> dict[str, str]:
    """Return the claims that say who an actor is: `actor_of` makes the same actor of them again."""
    own = {
        "kind": actor.kind.value if actor.kind is not Kind.SYSTEM else "",
        "purpose": actor.purpose.value if actor.purpose is not Purpose.SHARING else "",
        "acr": acr(actor.assurance),
        **{name: str(getattr(actor, name)) for name in (*_REFERENCES, *_TEXTS)},
    }
    standard = {"client_id": actor.client, "sub": actor.subject or actor.client, "scope": actor.scopes.text}
    return standard | {name: value for name, value in own.items() if value}


def actor_of(claims: Mapping[str, Any], scopes: Scopes) -> Actor:
    """Return the actor of a verified token's claims; `scopes` are its scope claim, parsed.

    Raises ClaimError for claims that are not of their form, or do not belong together: a citizen without a record of
    his own, a user without an assurance level, a system that says whom it is.
    """
    client, subject = _text(claims, "client_id", needed=True), _text(claims, "sub", needed=True)
    try:
        kind = Kind(claims.get("kind", Kind.SYSTEM))
        purpose = Purpose(claims.get("purpose", Purpose.SHARING))
    except ValueError:
        raise ClaimError("kind or purpose is none that is known") from None
    references: dict[str, Any] = {name: _text(claims, name) for name in _REFERENCES}
    if not all(_REFERENCE.fullmatch(value) for value in references.values() if value):
        raise ClaimError("person, on_behalf_of and patient are Patient/<id>")
    texts: dict[str, Any] = {name: _text(claims, name) for name in _TEXTS}
    assurance = level(claims.get("acr"))
    if "acr" in claims and not assurance:
        raise ClaimError("acr is no NSIS level")
    actor = Actor(
        client,
        scopes,
        kind,
        purpose,
        "" if kind is Kind.SYSTEM else subject,
        assurance=assurance,
        **references,
        **texts,
    )
    if wrong := _contradiction(actor, subject):
        raise ClaimError(wrong)
    return actor


def _text(claims: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > _TEXT_MAX or (needed and not value):
        raise ClaimError(f"{name} is a text")
    return value


def _contradiction(actor: Actor, subject: str) -> str:
    """Return what does not belong together, '' when all does."""
    user = actor.kind is not Kind.SYSTEM
    if actor.purpose not in _PURPOSES[actor.kind]:
        return "the purpose is none of this kind of caller"
    if not user and subject != actor.client:
        return "client_id and sub of a system are the same"
    if not user and (actor.person or actor.on_behalf_of or actor.role or actor.assurance):
        return "a system has no person, role or assurance"
    if user and not actor.assurance:
        return "a user has an assurance level"
    if (actor.kind is Kind.CITIZEN) != bool(actor.person):
        return "a citizen, and no other, has a record of his own"
    if actor.on_behalf_of and actor.kind is not Kind.CITIZEN:
        return "only a citizen acts for another"
    return ""
