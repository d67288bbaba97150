"""What came out of the store for one request: what its audit record is made of.

`PermittedStore`, through which all data comes, notes everything; a handler that shows less than it read says what
(`only`). So to forget something is to record too much, never too little. Held in a context variable: a request is a task
of its own, and what it waits for in tasks of theirs shares its notes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextvars import ContextVar

from gateway.access import Rule
from gateway.audit import Entry
from gateway.store.port import Version


class Seen:
    """The notes of one request, or of one entry of a batch."""

    __slots__ = ("entries", "intent", "others", "rules", "versions")

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.others: list[int] = []
        """Further patients, of what is not a version: `reference('patient', …)`."""
        self.rules: tuple[str, ...] = ()
        self.entries: list[Entry] = []
        self.intent: Awaitable[None] | None = None
        """The record that a change is about to be tried, on its way: awaited before anything is changed."""


_SEEN: ContextVar[Seen | None] = ContextVar("seen", default=None)


def begin() -> Seen:
    """Begin the notes of a request."""
    made = Seen()
    _SEEN.set(made)
    return made


def noting() -> bool:
    """Say whether anybody takes notes: an API without an audit does not."""
    return _SEEN.get() is not None


def note(rules: Iterable[Rule], versions: Iterable[Version]) -> None:
    """Note what came out, and the rules by which it was allowed to."""
    seen = _SEEN.get()
    if seen is not None:
        seen.versions += versions
        if {*rules} - {*seen.rules}:
            seen.rules = tuple(dict.fromkeys((*seen.rules, *(rule.value for rule in rules))))


def only(versions: Sequence[Version], others: Sequence[int] = ()) -> None:
    """Say that of all that came out only these are shown."""
    seen = _SEEN.get()
    if seen is not None:
        seen.versions, seen.others = list(versions), list(others)


def entry(done: Entry) -> None:
    """Note how an entry of a batch or transaction ended."""
    seen = _SEEN.get()
    if seen is not None:
        seen.entries.append(done)


async def intended() -> None:
    """Return when it is on record that a change is about to be tried. Raises Unavailable: then it must not be."""
    seen = _SEEN.get()
    if seen is not None and seen.intent is not None:
        await seen.intent


@contextlib.contextmanager
def within() -> Iterator[None]:
    """Keep the notes of one entry apart while it is answered, then add them to those of the request."""
    outer = _SEEN.get()
    if outer is None:
        yield
        return
    own = Seen()
    own.intent = outer.intent
    token = _SEEN.set(own)
    try:
        yield
    finally:
        _SEEN.reset(token)
        outer.versions += own.versions
        outer.others += own.others
        outer.rules = tuple(dict.fromkeys((*outer.rules, *own.rules)))
        outer.entries += own.entries
