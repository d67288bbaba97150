"""Who is logged in: `identity.session.Sessions` over the store's rows. A cookie in, a log-in out; nothing is remembered here.

The cookie holds 256 random bits made at the log-in itself (a value that a browser had before is never taken over: no
fixation), the database their hash. What tokens name a session by is another value, which opens nothing. A session ends at
its idle limit, its absolute limit, the broker's own `session_expiry`, at log-out or when the broker says so: whichever is first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.access import Assurance, Kind
from gateway.clock import Clock
from gateway.fhir.ids import Ids
from gateway.identity.sealed import Sealer
from gateway.identity.session import LogIn, Session
from gateway.store.sessions import SessionRow, SessionStore, Way

_SECRET_CHARACTERS: Final = 43
_ENDED_REMEMBERED: Final = dt.timedelta(hours=24)
_OWED: Final = dt.timedelta(days=30)
"""How long after its end a log-in can be read, for the record of the end."""
_LOGOUT_REMEMBERED: Final = dt.timedelta(minutes=10)
"""Longer than the age to which a logout token is taken."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`idle` without a look, `most` in all."""

    idle: dt.timedelta
    most: dt.timedelta


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that ended. `login` is None for one whose log-in cannot be read any more."""

    id: str
    idp: str
    way: Way
    login: LogIn | None


class LoginSessions:
    """Raises Unavailable from every call when the database does not answer."""

    def __init__(self, store: SessionStore, *, ids: Ids, clock: Clock, limits: Limits, secure: bool) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._limits = limits
        self._sealer = Sealer(ids.derive("login-session"), "login-session", clock)
        self.cookie = "__Host-sundbro" if secure else "sundbro"

    async def begin(
        self, login: LogIn, *, id_token: str, until: dt.datetime | None, cookies: Mapping[str, str]
    ) -> tuple[str, Session] | None:
        """Begin a session; return the new cookie's value and the session. The browser's old one ends.

        None where the broker has ended its session meanwhile.
        """
        now = self._clock.now()
        expires = min(now + self._limits.most, until or dt.datetime.max.replace(tzinfo=dt.UTC))
        if expires <= now:
            return None
        value, name = secrets.token_urlsafe(32), str(uuid.uuid4())
        sealed = self._sealer.seal({"login": _plain(login), "id_token": id_token}, expires - now + _OWED)
        broker = self._broker(login.idp, login.broker_session)
        row = SessionRow(
            name, _hash(value), login.idp, login.subject, broker, sealed.encode(), began=now, expires=expires, seen=now
        )
        old = cookies.get(self.cookie, "")
        instead = _hash(old) if len(old) == _SECRET_CHARACTERS else b""
        if not await self._store.begin(row, instead_of=instead, unless=[broker] if broker else []):
            return None
        return value, Session(name, login, expires)

    async def of_cookies(self, cookies: Mapping[str, str]) -> Session | None:
        """See `identity.session.Sessions`."""
        found = await self._found(cookies)
        return found[0] if found else None

    async def alive(self, session: str) -> bool:
        """See `identity.session.Sessions`. A refreshed token counts as a look: who uses his app is not idle."""
        return await self._store.alive(session, self._clock.now(), self._limits.idle)

    async def end(self, cookies: Mapping[str, str]) -> tuple[Session, str] | None:
        """End the browser's session; return it with the ID token for `id_token_hint`, None when there is none."""
        found = await self._found(cookies)
        if found:
            await self._store.end(found[0].id, self._clock.now())
        return found

    async def end_by_broker(self, idp: str, *, sid: str, subject: str, jti: str) -> list[str] | None:
        """End what a verified logout token names, everywhere at once; return which, None when the token was used before."""
        now = self._clock.now()
        once = self._ids.resource("logout-token", idp, jti).encode()
        if not await self._store.once(once, now + _LOGOUT_REMEMBERED, now):
            return None
        broker = self._broker(idp, sid)
        if broker:
            await self._store.once(broker, now + _ENDED_REMEMBERED, now)
        return await self._store.end_by_broker(idp, broker=broker, subject=subject, now=now)

    async def end_by_time(self) -> None:
        """End what is at a limit of its own."""
        await self._store.end_by_time(self._clock.now(), self._limits.idle)

    @contextlib.asynccontextmanager
    async def unrecorded(self, only: Sequence[str] | None) -> AsyncIterator[list[EndedSession]]:
        """Give sessions whose end is not on record yet; it is when the block ends well (`SessionStore.unrecorded`)."""
        async with self._store.unrecorded(only) as ended:
            kept = [self._sealer.open(one.sealed.decode()) for one in ended]
            yield [
                EndedSession(one.id, one.idp, one.way, _login(held["login"]) if held else None)
                for one, held in zip(ended, kept, strict=True)
            ]

    async def _found(self, cookies: Mapping[str, str]) -> tuple[Session, str] | None:
        value = cookies.get(self.cookie, "")
        if len(value) != _SECRET_CHARACTERS:
            return None
        row = await self._store.of_secret(_hash(value), self._clock.now(), self._limits.idle)
        kept = self._sealer.open(row.sealed.decode()) if row else None
        if row is None or kept is None:
            return None
        return Session(row.id, _login(kept["login"]), row.expires), kept["id_token"]

    def _broker(self, idp: str, sid: str) -> bytes:
        return self._ids.resource("broker-session", idp, sid).encode() if sid else b""


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()


def _plain(login: LogIn) -> dict[str, Any]:
    plain = {each.name: getattr(login, each.name) for each in dataclasses.fields(login)}
    return plain | {"at": login.at.isoformat(), "kind": login.kind.value, "assurance": int(login.assurance)}


def _login(plain: Mapping[str, Any]) -> LogIn:
    own = {"at": dt.datetime.fromisoformat(plain["at"]), "kind": Kind(plain["kind"])}
    return LogIn(**{**plain, **own, "assurance": Assurance(plain["assurance"])})
