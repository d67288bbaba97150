"""May this actor do this? `decide` gives the intent back as `Permitted`, or refuses. Deny by default.

What `serve` gives to the store is `Permitted[…]`, and only this module makes one: to forget the check is a type error.
Today the scopes of a token decide. Purpose, relation, consent and `spærring` (a citizen's block) come to the same
door: they will narrow `Search.query`, not filter what comes back, and a refused read will look like one of nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Generic, TypeVar

from gateway.access import reach
from gateway.access.actor import Actor
from gateway.access.scopes import Letter
from gateway.errors import Denied
from gateway.search.query import Query


class Why(enum.StrEnum):
    """Why a request was refused. Closed: the words of `AccessRefused` events and of the audit to come."""

    NO_TOKEN = "no-token"  # noqa: S105
    INVALID_TOKEN = "invalid-token"  # noqa: S105
    NO_SCOPE = "no-scope"
    NOT_ITS_PAGE = "not-its-page"


class NotPermitted(Denied):
    """403, with the reason from the closed list."""

    def __init__(self, text: str, why: Why) -> None:
        super().__init__(text)
        self.why = why


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

    __slots__ = ("actor", "intent")

    def __init__(self, intent: I_co, actor: Actor, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only access.decide permits")
        self.intent: Final = intent
        self.actor: Final = actor


def open_to(actor: Actor, letter: Letter, types: Iterable[str]) -> list[str]:
    """Return those of some types that the actor has any right to: what a question about all types is narrowed to.

    Each is still decided by itself. Raises NotPermitted when there is none.
    """
    found = [name for name in types if actor.scopes.allow(name, letter)]
    if not found:
        raise NotPermitted(f"no scope of this token opens .{letter.value} of any type", Why.NO_SCOPE)
    return found


def decide(actor: Actor, intent: I_) -> Permitted[I_]:
    """Return the intent as permitted to the actor, a search narrowed to what it may reach (`reach`).

    Raises NotPermitted when no scope opens it.
    """
    if not actor.scopes.allow(intent.type, intent.letter):
        raise NotPermitted(f"no scope of this token opens {intent.type}.{intent.letter.value}", Why.NO_SCOPE)
    if type(intent) is Patch and not actor.scopes.allow(intent.type, Letter.READ):
        raise NotPermitted(f"a patch needs {intent.type}.r as well: its answer tells what was there", Why.NO_SCOPE)
    if isinstance(intent, Search):
        try:
            query = reach.narrowed(intent.query, lambda name: actor.scopes.allow(name, Letter.SEARCH))
        except reach.OutOfReachError as error:
            raise NotPermitted(f"no scope of this token opens {error.type}.s", Why.NO_SCOPE) from None
        if query is not intent.query:
            return Permitted(replace(intent, query=query), actor, _SEAL)
    return Permitted(intent, actor, _SEAL)
