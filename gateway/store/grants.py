"""What the authorization server keeps, as a port: things that work once, families of tokens, signing keys. Bytes, not meanings.

Every process of every machine sees the same; what works once works once among all of them, because one statement of the
database decides it. Keys are SHA-256 of what a caller holds (a code, a refresh token): who reads the table holds nothing.
`now` comes from the caller, so that expiry follows the clock that tokens are made by.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Family:
    """An authorization and all tokens that come of it."""

    id: uuid.UUID
    client: str
    session: str
    """The log-in that it ends with, '' when it outlives it."""
    body: bytes
    expires: dt.datetime


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key of one generation: used from `begins` until the next generation begins."""

    number: int
    algorithm: str
    kid: str
    sealed: bytes
    begins: dt.datetime


class Grants(Protocol):
    """The authorization server's memory. Every call raises Unavailable when the database does."""

    async def put(self, kind: str, key: bytes, body: bytes, expires: dt.datetime, now: dt.datetime) -> bool:
        """Keep a thing that works once; False when it is there already and has not expired."""
        ...

    async def peek(self, kind: str, key: bytes, now: dt.datetime) -> bytes | None:
        """Return a thing without using it up."""
        ...

    async def take(self, kind: str, key: bytes, now: dt.datetime) -> bytes | None:
        """Use a thing up: of several callers one gets it."""
        ...

    async def redeem(self, code: bytes, family: Family, refresh: bytes | None, now: dt.datetime) -> bool:
        """Use a `code` up and begin its family, with a first refresh token if one is given; False when it is used up."""
        ...

    async def replayed(self, code: bytes, now: dt.datetime) -> None:
        """End the family that a used code began."""
        ...

    async def refreshable(self, refresh: bytes, now: dt.datetime) -> tuple[Family, bool] | None:
        """Return the family of a refresh token that has not ended, and whether this token was used before."""
        ...

    async def rotate(self, refresh: bytes, following: bytes, now: dt.datetime) -> bool:
        """Put `following` in the place of a refresh token; False when it was used, or its family has ended."""
        ...

    async def end_family(self, family: uuid.UUID, now: dt.datetime) -> None:
        """End a family: none of its tokens holds from now on."""
        ...

    async def end_session(self, session: str, now: dt.datetime) -> None:
        """End the families of a log-in that ended."""
        ...

    async def end_token(self, token: str, expires: dt.datetime) -> None:
        """Revoke one access token by its `jti`."""
        ...

    async def stands(self, token: str, family: uuid.UUID | None, now: dt.datetime) -> bool:
        """Say whether neither an access token (by its `jti`) nor its family has ended."""
        ...

    async def keys(self) -> list[SealedKey]:
        """Return the signing keys, oldest generation first."""
        ...

    async def add_keys(self, keys: list[SealedKey]) -> None:
        """Add a generation; of several processes that make the same one the first to come decides."""
        ...

    async def drop_keys(self, below: int) -> None:
        """Forget the generations below a number."""
        ...

    async def failures(self, who: bytes, now: dt.datetime) -> int:
        """Return how many failures of somebody count at this moment."""
        ...

    async def failed(self, who: bytes, now: dt.datetime, until: dt.datetime) -> None:
        """Count a failure: with those that count still, or as the first, until a moment."""
        ...

    async def sweep(self, now: dt.datetime) -> None:
        """Forget what has expired."""
        ...
