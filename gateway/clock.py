"""The clock, passed in: only this module and the observers ask the machine what time it is."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any, Final, Protocol, TypeGuard

UTC = dt.UTC
_SECONDS_MAX: Final = 1 << 37
"""The year 6325: later than any lifetime, and earlier than what a calendar ends with."""


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> dt.datetime:
        """Return the present moment, timezone-aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    now = staticmethod(functools.partial(dt.datetime.now, UTC))
    """Return the present moment in UTC, microsecond resolution. Asked several times a request: no frame of Python."""


class FrozenClock:
    """A clock for tests and replay: stands where it is put, moves when told."""

    def __init__(self, at: dt.datetime) -> None:
        self.at = at

    def now(self) -> dt.datetime:
        """Return the moment at which this clock stands."""
        return self.at

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock by `by`."""
        self.at += by


def instant(moment: dt.datetime) -> str:
    """Write `moment` as a FHIR instant in UTC with milliseconds, `2026-11-22T09:00:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def is_moment(value: Any) -> TypeGuard[int]:
    """Say whether a value is a NumericDate in whole seconds since 1970 (RFC 7519 §2) that a calendar has."""
    return type(value) is int and 0 <= value < _SECONDS_MAX
