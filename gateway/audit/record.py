"""One audit record as a value, and as the two lines of text that the ledger keeps of it. Pure: no clock, no randomness.

`event` is what may stand for ever: what was done, how it ended, by which client and organisation, why. `personal` is what
names somebody: the user, whose data, which resources, from where, in which words. The chain holds the SHA-256 of `personal`,
which begins with a salt, so that `personal` can be erased and the chain still holds. No content of a resource and no
person's number is in either: patients are `search.query.reference` hashes of Patient/<id>, whose ids are keyed hashes
themselves; a search is a keyed hash with the names of its parameters.

Both are compact JSON, whose names are those of `Record` shortened (`_EVENT`, `_PERSONAL`); what is empty is left out. The
lines themselves are what is hashed: nobody writes them again. When it was is the block's: records that are written together
have one moment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.access import Actor
from gateway.audit.vocabulary import NO_LOOKS, Event
from gateway.formats import json
from gateway.search.query import reference

_SERVER_FAULT: Final = 500
SALT_DIGITS: Final = 32
REASON_CHARACTERS_MAX: Final = 500
_NUMBER: Final = re.compile(r"(?<!\d)\d{6}[ -]?\d{4}(?!\d)")
"""What is shaped like a person's number, in words that a person wrote."""
_EVENT: Final = {
    "event": "e", "status": "s", "why": "w", "door": "d", "type": "y", "code": "c", "count": "n", "client": "cl",
    "kind": "k", "purpose": "p", "organisation": "o", "role": "r", "assurance": "as", "rules": "ru", "names": "na",
    "trace": "tr", "entries": "en", "more": "m",
}  # fmt: skip
_PERSONAL: Final = {
    "subject": "u", "authorisation": "au", "session": "se", "person": "me", "on_behalf_of": "ob", "patients": "pt",
    "resources": "rs", "address": "a", "asked": "q", "source": "ip", "reason": "re",
}  # fmt: skip
_LONG: Final = {short: name for name, short in (*_EVENT.items(), *_PERSONAL.items())}
_ERASED: Final = b"-"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a batch or transaction."""

    event: Event
    type: str
    status: int


@dataclass(slots=True)
class Record:
    """One request. What does not apply, or was erased, is empty."""

    event: Event
    """What was done, or tried."""
    status: int = 0
    """The HTTP status of the answer."""
    why: str = ""
    """The closed word of a refusal: `access.Why`; of a token, OAuth's error; of a log-in, `identity.login.faults.Fault`."""
    door: str = ""
    """'' is the FHIR API; else the door of the feeds that it came by, `identity` or `ledger`."""
    type: str = ""
    """The resource type of the address; of a post, the feed; of a log-in and its end, the provider; of a token, the grant."""
    code: str = ""
    """Of an operation; of what is intended, the interaction; of a log-in's end, how: person, provider, replaced, time."""
    count: int = 0
    """How many resources, or messages, there are."""
    client: str = ""
    """The registered client whose token it was; of a post, the sender."""
    kind: str = ""
    """What sort of caller: `access.Kind`."""
    purpose: str = ""
    """`access.Purpose`."""
    organisation: str = ""
    """SOR code."""
    role: str = ""
    """Professional group, or national role."""
    assurance: int = 0
    """NSIS level of the log-in: 1 low, 2 substantial, 3 high."""
    rules: tuple[str, ...] = ()
    """The rules that decided, by name."""
    names: tuple[str, ...] = ()
    """The parameters of a search."""
    trace: str = ""
    """W3C trace id, or the caller's X-Request-Id."""
    entries: tuple[Entry, ...] = ()
    """Of a batch or transaction, in the order in which they ended."""
    more: dict[str, Any] = field(default_factory=dict)
    """What the ledger says of itself: chain and upto of a retention, chain and records of an erasure."""
    subject: str = ""
    """The user, as this gateway calls him: no person's number."""
    authorisation: str = ""
    """Health authorisation id of a professional."""
    session: str = ""
    """The log-in it comes from."""
    person: str = ""
    """`Patient/<id>` of a citizen who asks."""
    on_behalf_of: str = ""
    """`Patient/<id>` of whom a citizen acts for."""
    patients: tuple[int, ...] = ()
    """Whose data: `reference('patient', 'Patient/<id>')` of each."""
    resources: tuple[str, ...] = ()
    """`Type/id/version` of what the answer holds."""
    address: str = ""
    """`Type/id` that was asked for, where the answer does not hold it."""
    asked: str = ""
    """A search as a keyed hash of its normal form."""
    source: str = ""
    """IP address."""
    reason: str = ""
    """Of a værdispring, in the professional's own words; what is shaped like a person's number is taken out."""
    erased: bool = False

    @property
    def looked(self) -> bool:
        """Whether data were looked at, or changed: also to refuse the request, but not where the server failed."""
        return self.status < _SERVER_FAULT and self.event not in NO_LOOKS

    @property
    def concerned(self) -> tuple[int, ...]:
        """Whose data, and the citizen who asked: by whom the record is found."""
        return concerned(self.patients, self.person)


def concerned(patients: tuple[int, ...], person: str) -> tuple[int, ...]:
    """Return by whom a record is found."""
    return tuple(dict.fromkeys((*patients, reference("patient", person)))) if person else patients


@dataclass(frozen=True, slots=True)
class Who:
    """The part of a record that is the same for every request of a token."""

    event: dict[str, Any]
    personal: dict[str, Any]
    person: str = ""


NOBODY: Final = Who({}, {})


def who(actor: Actor) -> Who:
    """Return an actor as records have him."""
    event, personal = _shortened(
        {
            "client": actor.client,
            "kind": actor.kind.value,
            "purpose": actor.purpose.value,
            "organisation": actor.organisation,
            "role": actor.role,
            "assurance": int(actor.assurance),
            "subject": actor.subject,
            "authorisation": actor.authorisation,
            "session": actor.session,
            "person": actor.person,
            "on_behalf_of": actor.on_behalf_of,
            "reason": without_numbers(actor.reason)[:REASON_CHARACTERS_MAX],
        }
    )
    return Who(event, personal, actor.person)


def without_numbers(text: str) -> str:
    """Return what a caller wrote without what is shaped like a person's number."""
    return _NUMBER.sub("…", text)


def _shortened(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    event: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    for name, value in given.items():
        if value:
            if short := _EVENT.get(name):
                event[short] = value
            else:
                personal[_PERSONAL[name]] = value
    return event, personal


def encode(given: Mapping[str, Any], of: Who = NOBODY) -> tuple[bytes, bytes]:
    """Return the two lines, `personal` without its salt, of the fields of a Record by their names; `of` is who.

    `entries` are (event, type, status). Raises KeyError for a field that a record does not have.
    """
    event, personal = _shortened(given)
    return json.dumps({**event, **of.event}), json.dumps({**personal, **of.personal})


def decode(event: bytes, personal: bytes) -> Record:
    """Return a record of its two lines. Raises ValueError, KeyError or TypeError for what is none."""
    held = json.look(event)
    made = Record(Event(held.pop("e")))
    if personal.startswith(_ERASED):
        made.erased = True
    else:
        held |= json.look(personal[SALT_DIGITS:])
    for short, value in held.items():
        setattr(made, _LONG[short], tuple(value) if isinstance(value, list) else value)
    entries: Any = made.entries
    made.entries = tuple(Entry(Event(name), kind, status) for name, kind, status in entries)
    return made


def erased(personal: bytes, commitment: bytes) -> bytes:
    """Return what is left of a line of `personal` once it is erased: what stands for it in the chain."""
    return personal if personal.startswith(_ERASED) else _ERASED + commitment.hex().encode()


def committed(personal: bytes) -> bytes | None:
    """Return what stands in the chain for an erased line, None for one that was not erased. Raises ValueError."""
    return bytes.fromhex(personal[1:].decode("ascii")) if personal.startswith(_ERASED) else None
