"""One audit record as a value, and as the two byte strings that the ledger keeps. Pure: no clock, no randomness.

`event` is what may stand for ever: what was done, when, how it ended, by which client and organisation, why. `personal` is
what names somebody: the user, whose data, which resources, from where, in which words. The chain holds `event` and the
SHA-256 of `personal`, which begins with 16 random bytes, so that `personal` can be erased and the chain still holds. No
content of a resource and no person's number is in either: patients are `search.query.reference` hashes of Patient/<id>,
whose ids are keyed hashes themselves; a search is a keyed hash with the names of its parameters.

Both are compact JSON whose names are the fields of `Record`, shortened as `_EVENT` and `_PERSONAL` say; what is empty is
left out. The bytes themselves are what is hashed: nobody writes them again.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.access import Actor
from gateway.audit.vocabulary import Event
from gateway.formats import json

UTC = dt.UTC
SALT_BYTES: Final = 16
REASON_CHARACTERS_MAX: Final = 500
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"\d{6}[ -]?\d{4}")
"""What is shaped like a person's number, in words that a person wrote."""
_EVENT: Final = (
    ("e", "event"), ("s", "status"), ("w", "why"), ("d", "door"), ("y", "type"), ("c", "code"), ("n", "count"),
    ("cl", "client"), ("k", "kind"), ("p", "purpose"), ("o", "organisation"), ("r", "role"), ("as", "assurance"),
    ("ru", "rules"), ("na", "names"), ("tr", "trace"), ("en", "entries"), ("more", "more"),
)  # fmt: skip
_PERSONAL: Final = (
    ("u", "subject"), ("au", "authorisation"), ("se", "session"), ("me", "person"), ("ob", "on_behalf_of"),
    ("pt", "patients"), ("rs", "resources"), ("a", "address"), ("q", "asked"), ("ip", "source"), ("re", "reason"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a batch or transaction."""

    event: Event
    type: str
    status: int


@dataclass(slots=True)
class Record:
    """One request. '' , 0 and () are what does not apply."""

    event: Event
    at: dt.datetime
    """UTC, microseconds."""
    status: int
    """The HTTP status of the answer."""
    why: str = ""
    """The closed word of a refusal: `access.Why`."""
    door: str = "fhir"
    type: str = ""
    """The resource type of the address; of a post, the feed."""
    code: str = ""
    """Of an operation."""
    count: int = 0
    """How many resources, or messages, the answer holds."""
    client: str = ""
    kind: str = ""
    purpose: str = ""
    organisation: str = ""
    role: str = ""
    assurance: int = 0
    rules: tuple[str, ...] = ()
    """The rules that decided, by name."""
    names: tuple[str, ...] = ()
    """The parameters of a search."""
    trace: str = ""
    """W3C trace id, or the caller's X-Request-Id."""
    entries: tuple[Entry, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    """What the ledger says of itself: chain and upto of a retention."""
    subject: str = ""
    authorisation: str = ""
    session: str = ""
    person: str = ""
    """`Patient/<id>` of a citizen who asks."""
    on_behalf_of: str = ""
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


@dataclass(frozen=True, slots=True)
class Who:
    """The part of a record that is the same for every request of a token."""

    event: dict[str, Any]
    personal: dict[str, Any]


def who(actor: Actor) -> Who:
    """Return an actor as records have him."""
    given = Record(
        Event.READ,
        _EPOCH,
        0,
        client=actor.client,
        kind=actor.kind.value,
        purpose=actor.purpose.value,
        organisation=actor.organisation,
        role=actor.role,
        assurance=int(actor.assurance),
        subject=actor.subject,
        authorisation=actor.authorisation,
        session=actor.session,
        person=actor.person,
        on_behalf_of=actor.on_behalf_of,
        reason=_NUMBER.sub("…", actor.reason)[:REASON_CHARACTERS_MAX],
    )
    event, personal = given_of(given, _EVENT), given_of(given, _PERSONAL)
    del event["e"]
    return Who(event, personal)


def given_of(record: Record, names: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the fields that are not empty by their short names."""
    return {short: value for short, name in names if (value := getattr(record, name))}


_NOBODY: Final = Who({}, {})


def encode(record: Record, of: Who | None = None) -> tuple[bytes, bytes]:
    """Return `event` and `personal` (without its salt) of a record; `of` is who, where the record does not say it."""
    by = of or _NOBODY
    event: dict[str, Any] = {"t": (record.at - _EPOCH) // _MICROSECOND, **by.event, **given_of(record, _EVENT)}
    if record.entries:
        event["en"] = [(one.event, one.type, one.status) for one in record.entries]
    return json.dumps(event), json.dumps({**by.personal, **given_of(record, _PERSONAL)})


_MICROSECOND: Final = dt.timedelta(microseconds=1)


def decode(event: bytes, personal: bytes | None) -> Record:
    """Return a record of what the ledger holds (`personal` with its salt); erased fields are empty."""
    held = json.look(event)
    made = Record(Event(held.pop("e")), _EPOCH + dt.timedelta(microseconds=held.pop("t")), held.get("s", 0))
    fields = dict((*_EVENT, *_PERSONAL))
    whose = json.look(personal[SALT_BYTES:]) if personal else {}
    for short, value in (*held.items(), *whose.items()):
        setattr(made, fields[short], tuple(value) if isinstance(value, list) else value)
    entries: Any = made.entries
    made.entries = tuple(Entry(Event(name), kind, status) for name, kind, status in entries)
    return made
