"""May this actor do this? `decide` gives the intent back as `Permitted`, or refuses. Deny by default.

What `serve` gives to the store is `Permitted[…]`, and only this module makes one: to forget the check is a type error.
A scope, a purpose and an assurance are needed to ask at all (403 without). What then exists for the caller is a `Sight`,
which the store attaches to everything it reads: it narrows the question and filters no answer, so that what is out of
reach looks like nothing at all. Reasons and laws: docs/explanation/access.md.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Generic, TypeVar

from gateway.access import reach
from gateway.access import sight as sights
from gateway.access.actor import Actor, Kind, Purpose
from gateway.access.policy import DEFAULT, PURPOSES, Policy
from gateway.access.rules import Rule, fired
from gateway.access.scopes import Letter
from gateway.access.sight import Sight
from gateway.errors import Denied
from gateway.search.query import Query
from gateway.search.standing import Block, Standing


class Why(enum.StrEnum):
    """Why a request was refused. Closed: the words of `AccessRefused` events and of the audit to come."""

    NO_TOKEN = "no-token"  # noqa: S105
    INVALID_TOKEN = "invalid-token"  # noqa: S105
    NO_SCOPE = "no-scope"
    NOT_ITS_PAGE = "not-its-page"
    NOT_ITS_PURPOSE = "not-its-purpose"
    LOW_ASSURANCE = "low-assurance"
    NO_REASON = "no-reason"
    NOT_ITS_TO_WRITE = "not-its-to-write"
    BEYOND_REACH = "beyond-reach"


_RULES: Final = {
    Why.NO_SCOPE: Rule.NO_SCOPE,
    Why.NOT_ITS_PAGE: Rule.NOT_ITS_PAGE,
    Why.NOT_ITS_PURPOSE: Rule.PURPOSE_NOT_ITS,
    Why.LOW_ASSURANCE: Rule.ASSURANCE_TOO_LOW,
    Why.NO_REASON: Rule.NO_REASON,
    Why.NOT_ITS_TO_WRITE: Rule.NOT_ITS_TO_WRITE,
    Why.BEYOND_REACH: Rule.BEYOND_REACH,
}


class NotPermitted(Denied):
    """403, with the reason from the closed list."""

    def __init__(self, text: str, why: Why) -> None:
        super().__init__(text)
        self.why = why

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that refused, for the audit."""
        return (_RULES[self.why],) if self.why in _RULES else ()


@dataclass(frozen=True, slots=True)
class Read:
    """The current version of one resource."""

    type: str
    id: str
    letter: ClassVar[Letter] = Letter.READ


@dataclass(frozen=True, slots=True)
class VersionRead:
    """One version of one resource."""

    type: str
    id: str
    version: int
    letter: ClassVar[Letter] = Letter.READ


@dataclass(frozen=True, slots=True)
class History:
    """The versions of one resource, newest first, below version `before`."""

    type: str
    id: str
    count: int
    before: int | None = None
    letter: ClassVar[Letter] = Letter.READ


@dataclass(frozen=True, slots=True)
class TypeHistory:
    """The versions of all resources of one type; of several types, a decision for each."""

    type: str
    letter: ClassVar[Letter] = Letter.SEARCH


@dataclass(frozen=True, slots=True)
class Search:
    """A type-level search."""

    query: Query
    letter: ClassVar[Letter] = Letter.SEARCH

    @property
    def type(self) -> str:
        """The resource type that is searched."""
        return self.query.type


@dataclass(frozen=True, slots=True)
class Create:
    """A new resource, whose id the server gives."""

    type: str
    id: str = ""
    letter: ClassVar[Letter] = Letter.CREATE


@dataclass(frozen=True, slots=True)
class Update:
    """A resource written whole, new ones included (SMART v2: update-as-create is `u`). id '' is not known yet."""

    type: str
    id: str = ""
    letter: ClassVar[Letter] = Letter.UPDATE


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of some elements (SMART v2: `u`); and `r`, for what can be done to a resource tells what stands in it:
    whether a test holds, a path leads to something, a new version comes of it. id '' is not known yet.
    """

    type: str
    id: str = ""
    letter: ClassVar[Letter] = Letter.UPDATE


@dataclass(frozen=True, slots=True)
class Delete:
    """A deletion. id '' is not known yet."""

    type: str
    id: str = ""
    letter: ClassVar[Letter] = Letter.DELETE


Writing = Create | Update | Patch | Delete
"""Where a condition finds what is written, or whether it is, that question is a Search to be decided as well."""
Intent = Read | VersionRead | History | TypeHistory | Search | Writing
I_co = TypeVar("I_co", bound=Intent, covariant=True)
I_ = TypeVar("I_", bound=Intent)
_SEAL: Final = object()


class Permitted(Generic[I_co]):
    """An intent that `decide` allowed, narrowed to what the actor may see. Cannot be made elsewhere."""

    __slots__ = ("_sight", "actor", "intent")

    def __init__(self, intent: I_co, actor: Actor, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only access.decide permits")
        self.intent: Final = intent
        self.actor: Final = actor
        self._sight: Sight | None = None

    @property
    def hides(self) -> bool:
        """Whether anything of its type may be hidden from the actor."""
        return sights.hides(self.actor, self.intent.type, self.intent.letter)

    def sight(self, at: dt.datetime, policy: Policy = DEFAULT) -> Sight | None:
        """Return what exists for the actor at a moment, of every type; None is everything that its scopes open."""
        self._sight = Sight(self.actor, self.intent.letter, at, policy) if sights.narrows(self.actor) else None
        return self._sight

    def rules(self, at: dt.datetime, policy: Policy = DEFAULT) -> tuple[Rule, ...]:
        """Return the rules that fired, for the audit: of the sight that was given last, of a moment where none was."""
        sight = self._sight or self.sight(at, policy)
        return fired(self.actor, self.intent.type, None if sight is None else sight.of(self.intent.type))


def open_to(actor: Actor, letter: Letter, types: Iterable[str]) -> list[str]:
    """Return those of some types that the actor has any right to: what a question about all types is narrowed to.

    Each is still decided by itself. Raises NotPermitted when there is none.
    """
    found = [name for name in types if sights.opens(actor, name, letter)]
    if not found:
        raise NotPermitted(f"no scope of this token opens .{letter.value} of any type", Why.NO_SCOPE)
    return found


def decide(actor: Actor, intent: I_) -> Permitted[I_]:
    """Return the intent as permitted to the actor, a search narrowed to the types it may reach (`reach`).

    Which resources of a type that is, says `Permitted.sight`. Raises NotPermitted when no scope opens it, when the actor
    may not ask for this purpose or not with this log-in, or writes what is not its to write: all things that the actor
    knows of itself, and that tell nothing of what is stored.
    """
    if not sights.opens(actor, intent.type, intent.letter):
        raise NotPermitted(f"no scope of this token opens {intent.type}.{intent.letter.value}", Why.NO_SCOPE)
    if type(intent) is Patch and not sights.opens(actor, intent.type, Letter.READ):
        raise NotPermitted(f"a patch needs {intent.type}.r as well: its answer tells what was there", Why.NO_SCOPE)
    if sights.bound(actor):
        _purposeful(actor)
        if isinstance(intent, Create | Update | Patch | Delete) and not sights.may_write(
            actor, intent.type, intent.letter
        ):
            raise NotPermitted(f"{intent.type}.{intent.letter.value} is not this caller's", Why.NOT_ITS_TO_WRITE)
    if isinstance(intent, Search):
        try:
            query = reach.narrowed(intent.query, lambda name: sights.opens(actor, name, Letter.SEARCH))
        except reach.OutOfReachError as error:
            raise NotPermitted(f"no scope of this token opens {error.type}.s", Why.NO_SCOPE) from None
        if query is not intent.query:
            return Permitted(replace(intent, query=query), actor, _SEAL)
    return Permitted(intent, actor, _SEAL)


def may_state(actor: Actor, facts: Sequence[Standing]) -> bool:
    """Say whether a caller may write what states these facts. Who acts for another writes that person's spærring and
    nothing else: a mandate would outlive his custody, and open what is kept from the child's parents.
    """
    if actor.kind is not Kind.CITIZEN or not sights.represents(actor):
        return True
    return bool(facts) and all(isinstance(one, Block) for one in facts)


def beyond_reach() -> NotPermitted:
    """Return the refusal of what would not be within the writer's reach once written, whatever the reason."""
    return NotPermitted("what is to be written is not within what this caller may write", Why.BEYOND_REACH)


def _purposeful(actor: Actor) -> None:
    """Refuse a purpose that is not the actor's, or not with this log-in. Raises NotPermitted."""
    if actor.purpose not in PURPOSES[actor.kind]:
        raise NotPermitted("this caller does not ask for this purpose", Why.NOT_ITS_PURPOSE)
    if not sights.assured(actor):
        raise NotPermitted("this purpose needs a log-in of a higher level of assurance", Why.LOW_ASSURANCE)
    if actor.purpose is Purpose.VAERDISPRING and not (actor.reason.strip() and actor.patient):
        raise NotPermitted("a værdispring is for one patient, and says why", Why.NO_REASON)
