"""A log-in, as the authorization server needs to know it: who is at the browser, how surely, and until when. Values only.

Whoever made it (a MitID broker, MitID Erhverv, the region's own IdP, the local issuer) is told apart by `idp` and by
nothing else: every broker's claims become this one value (docs/explanation/identity.md). A person's number comes no
further than the log-in itself: here a citizen is already `Patient/<id>`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.access import Assurance, Kind


@dataclass(frozen=True, slots=True)
class LogIn:
    """What a broker said of a user, in our words. '' is what it did not say: names may be absent."""

    subject: str
    """Stable and pairwise: a keyed hash of (issuer, sub)."""
    kind: Kind
    idp: str
    """The name of the identity provider in the settings: `local`, `mitid`, `mitid-erhverv`, `region`."""
    at: dt.datetime
    assurance: Assurance = Assurance.NONE
    person: str = ""
    """`Patient/<id>` of a citizen, made of the CPR that the ssn scope gave; '' where there is none."""
    organisation: str = ""
    """SOR code a professional works for."""
    role: str = ""
    authorisation: str = ""
    name: str = ""
    """To greet by. Not stored in tokens."""
    transaction: str = ""
    broker_session: str = ""
    """The broker's `sid`: what a back-channel logout names."""
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in that is under way in one browser."""

    id: str
    login: LogIn
    expires: dt.datetime


class Sessions(Protocol):
    """Who is logged in. Shared by all processes on one database; a session that ended is ended everywhere at once."""

    async def of_cookies(self, cookies: Mapping[str, str]) -> Session | None:
        """Return the session of a browser, None when there is none or it has ended."""
        ...

    async def alive(self, session: str) -> bool:
        """Say whether a session has not ended: refresh tokens end with it."""
        ...
