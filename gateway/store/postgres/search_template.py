"""A statement is planned once for a shape of question: another question of that shape only brings other values.

To plan a search costs a tenth to more than a millisecond, most for callers who are not shown everything; what differs from
one question to the next is hardly ever the plan. So the *shape* of a question is its key: all of it but the hashes, moments
and beginnings of texts that are arguments of the statement anyhow. In their place stand which of them are equal, the order
of the moments, and how frequent a hash is: all that a plan decides by (`search_plan`, `frequencies`).

A template is kept only where every argument of the statement is one of those values (or what `_WAYS` makes of one, in one
way only) and none of them stands in its text. Whatever else is in a question, what exists for the caller included, is in the
key as it is. That a template gives what planning gives is a law (tests/properties/test_search_template.py).
"""

from __future__ import annotations

import datetime as dt
import enum
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

from gateway.search.query import ChainTerm, HasTerm, How, Query, StringTerm
from gateway.search.reach import Labelled
from gateway.store.postgres import search_sql
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.index_rows import KEY_CHARACTERS
from gateway.store.postgres.search_dates import INSTANT, LONG
from gateway.store.postgres.search_scope import Scope, Statement
from gateway.store.postgres.search_values import after

TEMPLATES_MAX: Final = 2048
_PLAIN: Final = frozenset({How.STARTS, How.EQUALS})
_YEAR_MIN: Final = 1000
"""Earlier moments stand in the key: they would meet the beginning of time (`search_dates`)."""
_LAST_PLAIN: Final = "\ud7fe"
_WAYS: Final[dict[type, tuple[Callable[[Any], Any], ...]]] = {
    int: (lambda value: value,),
    str: (lambda value: value, after),
    dt.date: (lambda value: value,),
    dt.datetime: (lambda value: value, lambda value: value - LONG, lambda value: value - INSTANT),
}
"""What the parts of a plan make of a value before they put it into the statement."""
Place = tuple[int, Callable[[Any], Any]]
"""Which of the values, and what is made of it."""


@dataclass(frozen=True, slots=True)
class _Template:
    """A statement whose arguments are found among the values of a question."""

    statement: Statement
    places: tuple[tuple[Place, ...], ...]
    """Of each argument; of an array, of each of its elements."""
    arrays: tuple[bool, ...]

    def filled(self, values: Sequence[Any]) -> Statement:
        """Return the statement for other values."""
        arguments = [
            [way(values[number]) for number, way in places] if array else places[0][1](values[places[0][0]])
            for places, array in zip(self.places, self.arrays, strict=True)
        ]
        made = self.statement
        return Statement(made.sql, tuple(arguments), made.shared, made.small, made.told)


class Templates:
    """The templates of one store; those not asked for the longest are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], _Template] = OrderedDict()

    def page(self, query: Query, scope: Scope) -> Statement:
        """Return what `search_sql.page` returns, for the first page of a question that one statement answers."""
        shape = _Shape(scope.frequencies)
        shape.question(query, scope)
        return self._made(shape, scope, lambda: search_sql.page(query, scope))

    def read(self, resource_type: str, name: str, scope: Scope, made: Callable[[], Statement]) -> Statement:
        """Return what `made` returns: the statement that reads the resource of an id, as it is there for whoever asks."""
        shape = _Shape(scope.frequencies)
        shape.named(resource_type, name, scope)
        return self._made(shape, scope, made)

    def _made(self, shape: _Shape, scope: Scope, plan: Callable[[], Statement]) -> Statement:
        key = tuple(shape.key)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known.filled(shape.values)
        statement = plan()
        template = _template(statement, shape)
        if template is not None and scope.asked <= shape.types.keys():
            self._known[key] = template
            if len(self._known) > TEMPLATES_MAX:
                self._known.popitem(last=False)
        return statement


@dataclass(slots=True)
class _Shape:
    """What a question is but for its values, and these, in the order in which they are met."""

    frequencies: Frequencies
    key: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    types: dict[str, None] = field(default_factory=dict)
    """Whose reach the question asks for."""
    numbers: dict[Any, int] = field(default_factory=dict)
    """Where each of the values stands first."""
    fixed: tuple[int, ...] = ()
    """Arguments that the key decides."""

    def question(self, query: Query, scope: Scope) -> None:
        """Take in a query, and what exists for whoever asks."""
        self.types[query.type] = None
        self.key += (
            query.type, query.ids, query.sort, query.order, query.count, query.after, query.until, query.as_of,
            self.frequencies.looked, len(scope.units),
        )  # fmt: skip
        self.take(query.terms)
        self.take(query.updated)
        self._sight(scope)

    def named(self, resource_type: str, name: str, scope: Scope) -> None:
        """Take in the name of one resource, and what exists for whoever asks."""
        self.types[resource_type] = None
        self.key += (resource_type, len(scope.units))
        self.fixed = (scope.type(resource_type),)
        self._put(name)
        self._sight(scope)

    def _sight(self, scope: Scope) -> None:
        if scope.sight is not None:
            for kind in tuple(self.types):
                self.key.append(kind)
                self.take(scope.reach(kind))
        moments = [number for number, value in enumerate(self.values) if isinstance(value, dt.datetime)]
        if len(moments) > 1:
            self.key.append(tuple(sorted(moments, key=lambda number: self.values[number])))

    def take(self, value: Any) -> None:
        """Take in a part of it."""
        kind = type(value)
        if kind is tuple:
            self.key.append(len(value))
            for one in value:
                self.take(one)
        elif kind is int:
            self._put(value)
            self.key += (self.frequencies.tokens.get(value, 0.0), self.frequencies.codes.get(value, 0.0))
        elif kind is StringTerm:
            self._texts(value)
        elif (kind is dt.datetime and value.year >= _YEAR_MIN) or kind is dt.date:
            self._put(value)
        elif kind is not Labelled and (names := _fields(kind)):
            self.key.append(kind)
            if kind is ChainTerm or kind is HasTerm:
                self.types[value.type] = None
            for name in names:
                self.take(getattr(value, name))
        else:
            self.key.append(value)

    def _texts(self, term: StringTerm) -> None:
        if term.how not in _PLAIN or not all(map(_ordinary, term.values)):
            self.key.append(term)
            return
        self.key += (StringTerm, term.parameter, term.how, len(term.values))
        for value in term.values:
            self._put(value)

    def _put(self, value: Any) -> None:
        # which of the values are equal is part of the shape: the first of them stands for all
        self.key.append(self.numbers.setdefault(value, len(self.values)))
        self.values.append(value)


_FIELDS: Final[dict[type, tuple[str, ...]]] = {}


def _fields(kind: type) -> tuple[str, ...]:
    """Return the names of the fields of a value of the house, none for any other."""
    names = _FIELDS.get(kind)
    if names is None:
        value = is_dataclass(kind) and not issubclass(kind, enum.Enum)
        names = _FIELDS[kind] = tuple([one.name for one in fields(kind)]) if value else ()
    return names


def _ordinary(value: str) -> bool:
    """Say whether the parts of a plan treat a text as any other, whatever its characters."""
    return 0 < len(value) <= KEY_CHARACTERS and "\0" not in value and value[-1] < _LAST_PLAIN


def _always(value: Any) -> Callable[[Any], Any]:
    """Return what makes one and the same of every value."""
    return lambda _: value


def _template(statement: Statement, shape: _Shape) -> _Template | None:
    """Return a statement as a template, None where it is not certain which value an argument is."""
    if any(str(value) in statement.sql for value in shape.values):
        return None
    made: dict[tuple[type, Any], set[Place]] = {}
    for value, number in shape.numbers.items():
        for way in _WAYS[type(value)]:
            result = way(value)
            made.setdefault((type(result), result), set()).add((number, way))
    for one in shape.fixed:
        made.setdefault((int, one), set()).add((0, _always(one)))
    places: list[tuple[Place, ...]] = []
    for argument in statement.arguments:
        found = [made.get((type(one), one), set()) for one in (argument if isinstance(argument, list) else [argument])]
        if not found or any(len(each) != 1 for each in found):
            return None
        places.append(tuple(place for each in found for place in each))
    return _Template(statement, tuple(places), tuple(isinstance(one, list) for one in statement.arguments))
