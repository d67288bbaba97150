"""What identity does that is to be on record, as values. Who writes it down, and where, stands elsewhere (`gateway.audit`).

What gives something (a session, a code, a token, a launch) waits until it is on record, and is not given where it cannot
be: `errors.Unavailable`. What is refused is refused either way, and what ends has ended (`login.endings`).
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.access import Actor, Kind, Purpose
from gateway.access.scopes import Scopes
from gateway.errors import Unavailable
from gateway.identity.session import LogIn

GIVEN = 200


class Act(enum.StrEnum):
    """What was done, or refused."""

    LOGIN = "login"
    LOGOUT = "logout"  # by the person, his provider, another log-in, or time
    AUTHORIZE = "authorize"  # a user, or a registration in his place, lets an app act for him
    TOKEN = "token"  # noqa: S105  an access token
    REFRESH = "refresh"
    REVOKE = "revoke"
    LAUNCH = "launch"


@dataclass(frozen=True, slots=True)
class Happened:
    """One of them. '' is what does not apply; no token, code or number stands in it."""

    act: Act
    way: str = ""
    """Of a log-in and its end, the identity provider; of a token, the grant."""
    actor: Actor | None = None
    """Whom the token, code or session speaks for."""
    client: str = ""
    """The registered client that asked, where it is not the actor's."""
    patient: str = ""
    """`Patient/<id>` that it is about, where the actor does not say so."""
    status: int = GIVEN
    why: str = ""
    """The closed word of a refusal: OAuth's error, or `login.faults.Fault`."""
    source: str = ""
    """IP address."""
    how: str = ""
    """Of a log-in's end: `store.sessions.Way`."""


Record = Callable[[Happened], Awaitable[None]]
"""Returns when it is durable. Raises Unavailable."""


async def refused(record: Record, happened: Happened) -> None:
    """Put a refusal on record where that can be done: nothing is given by it."""
    with contextlib.suppress(Unavailable):
        await record(happened)


def actor_of(login: LogIn, session: str = "") -> Actor:
    """Return whom a log-in is of, before any app acts for him."""
    purpose = {Kind.CITIZEN: Purpose.OWN, Kind.STAFF: Purpose.TREATMENT}.get(login.kind, Purpose.OPERATION)
    return Actor(
        "",
        Scopes(),
        login.kind,
        purpose,
        login.subject,
        person=login.person,
        organisation=login.organisation,
        role=login.role,
        authorisation=login.authorisation,
        assurance=login.assurance,
        session=session,
    )
