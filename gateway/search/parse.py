"""The parameters of a search request → a `Query`. Strict: what is not understood is refused by name, never ignored.

`Prefer: handling=lenient` asks for the opposite; what was ignored is then reported. A modifier that is not supported
is refused either way (R4 search, modifiers), for it would turn the question round. A name is read by `keys`, a value by
`terms` and `values`, `_filter` by `filters`, what is about the answer by `results`. Not here: `_page`, which holds a
whole question.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.errors import Incorrect, NotFound
from gateway.search import filters, keys, parameters, results, terms, values
from gateway.search.keys import Reading, Unknown
from gateway.search.parameters import Parameter, Parameters
from gateway.search.query import (
    ChainTerm,
    DateTerm,
    HasTerm,
    IdTerm,
    Include,
    Query,
    ReferenceTerm,
    Sort,
    SortBy,
    Term,
    TokenTerm,
)
from gateway.search.results import COUNT_DEFAULT, COUNT_MAX, Shape
from gateway.search.terms import VALUES_MAX
from gateway.search.values import Context, Terminology

__all__ = [
    "COUNT_DEFAULT", "COUNT_MAX", "PARAMETERS_MAX", "VALUES_MAX", "Asked", "Shape", "Terminology", "parse", "understand",
    "understand_system",
]  # fmt: skip

PARAMETERS_MAX: Final = 40
TYPES_MAX: Final = 20
"""How many types a search of the whole system may name."""
VALUE_LENGTH_MAX: Final = 8000
_REMEMBERED_LENGTH_MAX: Final = 200


@dataclass(slots=True)
class Asked:
    """A search request as understood: the query, the parameters that made it, and why others were ignored."""

    query: Query
    used: list[tuple[str, str]]
    ignored: list[str]
    private: bool
    """Whether a value among `used` may name a person: such values are never written into a link."""
    shape: Shape = field(default_factory=Shape)


def parse(resource_type: str, pairs: Sequence[tuple[str, str]], *, lenient: bool = False) -> Query:
    """Return the query of a type-level search. Raises what `understand` raises."""
    return understand(resource_type, pairs, lenient=lenient).query


def understand(
    resource_type: str,
    pairs: Sequence[tuple[str, str]],
    *,
    lenient: bool = False,
    now: dt.datetime | None = None,
    base: str = "",
    codes: Terminology | None = None,
) -> Asked:
    """Return the search that decoded `pairs` of a request ask for, in any order.

    `now` is what `ap` measures distance from; without it `ap` is refused. References below `base` (the address of this
    API) are taken as relative ones. `codes` knows value sets and hierarchies; without it `:in`, `:not-in`, `:above`
    and `:below` of codes are refused. Raises NotFound for a type that R4 does not have, Incorrect for anything that is
    not understood, with the parameter as `at`.
    """
    try:
        known = parameters.of(resource_type)
    except KeyError:
        raise NotFound("R4 has no such resource type") from None
    if len(pairs) > PARAMETERS_MAX:
        raise Incorrect(f"a search has at most {PARAMETERS_MAX} parameters")
    reading = Reading(Context(now, base.rstrip("/") + "/" if base else "", codes))
    reader = _Reader(known, reading, lenient=lenient)
    for name, value in pairs:
        reader.take(name, value)
    return reader.asked()


def understand_system(
    pairs: Sequence[tuple[str, str]],
    *,
    lenient: bool = False,
    now: dt.datetime | None = None,
    base: str = "",
    codes: Terminology | None = None,
) -> list[Asked]:
    """Return one search for each type that `_type=A,B` names, of the other parameters, which all of them must have.

    Their order is that of `_lastUpdated`, newest first unless `_sort=_lastUpdated`: no other is common to all types.
    Raises what `understand` raises, Incorrect without `_type`.
    """
    kinds = list(dict.fromkeys(one for name, value in pairs if name == "_type" for one in value.split(",") if one))
    if not kinds:
        raise Incorrect("a search of the whole system says which types: _type=A,B", at="_type")
    if len(kinds) > TYPES_MAX:
        raise Incorrect(f"_type has at most {TYPES_MAX} types", at="_type")
    if any(kind not in parameters.types() for kind in kinds):
        raise Incorrect("_type names a type that R4 does not have", at="_type")
    orders = {"_lastUpdated": Sort.OLDEST, "-_lastUpdated": Sort.NEWEST}
    sort = next((value for name, value in pairs if name == "_sort" and value), "-_lastUpdated")
    if sort not in orders:
        raise Incorrect("_sort of several types is _lastUpdated or -_lastUpdated", at="_sort")
    rest = [pair for pair in pairs if pair[0] != "_type"]
    asked = [understand(kind, rest, lenient=lenient, now=now, base=base, codes=codes) for kind in kinds]
    if lenient:  # what one of the types ignores, all ignore
        ignored = list(dict.fromkeys(why for one in asked for why in one.ignored))
        common = [pair for pair in rest if all(pair in one.used for one in asked)]
        asked = [understand(kind, common, now=now, base=base, codes=codes) for kind in kinds]
        asked = [replace(one, ignored=ignored) for one in asked]
    named = [pair for pair in pairs if pair[0] == "_type"]
    return [
        replace(one, query=replace(one.query, sort=orders[sort], order=()), used=[*named, *one.used]) for one in asked
    ]


@functools.lru_cache(maxsize=4096)
def _alone(resource_type: str, name: str, value: str, base: str) -> tuple[Term, bool]:
    """Return the term of a parameter without modifier or chain, whose value is measured from no moment; and whether it
    may name a person.
    """
    reader = _Reader(parameters.of(resource_type), Reading(Context(None, base)), lenient=False)
    return reader._term(name, value), reader.reading.private  # noqa: SLF001


@dataclass(slots=True)
class _Reader:
    """Collects what the pairs of one request say."""

    known: Parameters
    reading: Reading
    lenient: bool
    terms: list[Term] = field(default_factory=list)
    updated: list[DateTerm] = field(default_factory=list)
    ids: tuple[str, ...] | None = None
    results: dict[str, str] = field(default_factory=dict)
    includes: list[Include] = field(default_factory=list)
    order: tuple[Sort, tuple[SortBy, ...]] | None = None
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def take(self, name: str, value: str) -> None:
        """Add one parameter."""
        if value == "":
            self.ignored.append(f"{values.shown(name)} has no value")
            return
        if len(value) > VALUE_LENGTH_MAX:
            raise Incorrect(f"a value has at most {VALUE_LENGTH_MAX} characters", at=values.shown(name))
        try:
            value.encode()
            self._take(name, value)
        except Unknown as unknown:
            if not self.lenient:
                raise
            self.ignored.append(unknown.text)
        except UnicodeEncodeError:
            raise Incorrect("the value is no text", at=values.shown(name)) from None
        else:
            self.used.append((name, value))

    def _take(self, name: str, value: str) -> None:
        stem, _, modifier = name.partition(":")
        if stem in results.ONCE:
            if stem in self.results or modifier:
                raise Incorrect(f"{stem} can be given once, without a modifier", at=stem)
            if stem == "_sort":
                self.order = results.order(self.known, value)
            self.results[stem] = value
        elif stem in results.INCLUDES:
            self.includes.append(results.include(stem, modifier, value))
            if len(self.includes) > results.INCLUDES_MAX:
                raise Incorrect(f"a search has at most {results.INCLUDES_MAX} includes", at=stem)
        elif name == "_filter":
            self.terms.append(filters.read(self.known, value, self.reading))
        elif name == "_list":
            self.terms.append(HasTerm("List", "item", _list(value)))
        elif stem == "_query":
            # never passed over, also where the caller is lenient: it would find all instead of what was meant
            raise Incorrect("no named query is defined here", at="_query")
        elif name == "_type":
            raise Unknown("_type belongs to a search of the whole system", at="_type")
        else:
            self._keep(self._own_term(name, value))

    def _own_term(self, name: str, value: str) -> Term:
        """Read a parameter; of what depends on nothing else, what was asked lately is remembered."""
        if ":" in name or "." in name or "ap" in value or len(value) > _REMEMBERED_LENGTH_MAX:
            return self._term(name, value)
        term, private = _alone(self.known.type, name, value, self.reading.context.base)
        self.reading.ends += 1
        self.reading.private = self.reading.private or private
        return term

    def _term(self, name: str, value: str) -> Term:
        def leaf(known: Parameters, parameter: Parameter, modifier: str) -> Term:
            return terms.read(known, parameter, modifier, value, self.reading.context)

        simple = "." not in name and not name.startswith("_has:")
        try:
            return keys.term(self.known, name, leaf, self.reading)
        except Unknown as unknown:
            raise Unknown(unknown.text, at=unknown.at if simple else values.shown(name)) from None
        except Incorrect as refused:
            at = refused.at or values.shown(name.partition(":")[0]) if simple else values.shown(name)
            raise Incorrect(refused.text, at=at) from None

    def _keep(self, term: Term) -> None:
        match term:
            case IdTerm():
                kept = term.values if self.ids is None else tuple(one for one in term.values if one in self.ids)
                self.ids = tuple(sorted(kept)) or (values.NO_ID,)
            case DateTerm(parameter="_lastUpdated"):
                self.updated.append(term)
            case _:
                self.terms.append(term)

    def asked(self) -> Asked:
        """Return everything taken, as one query."""
        count = results.count(self.results)
        sort, order = self.order or (self._by_default(), ())
        query = Query(
            type=self.known.type,
            terms=tuple(dict.fromkeys(self.terms)),
            ids=self.ids or (),
            updated=tuple(self.updated),
            sort=sort,
            order=order,
            count=count,
            total=results.total(self.results) or count == 0,
            includes=tuple(dict.fromkeys(self._whole(one) for one in self.includes)),
        )
        return Asked(query, self.used, self.ignored, self.reading.private, results.shape(self.results))

    def _whole(self, include: Include) -> Include:
        """`_include=*` is every reference of the type that is searched."""
        return replace(include, type=self.known.type) if include.type == "*" and not include.reverse else include

    def _by_default(self) -> Sort:
        """Return the order when none is asked for: newest main date first where the question names a patient, a code
        or that date, else newest update first (the store has an index in that order for each).
        """
        main = self.known.main_date
        return Sort.DATE_NEWEST if main and any(_by_date(term, self.known) for term in self.terms) else Sort.NEWEST


def _by_date(term: Term, known: Parameters) -> bool:
    """Say whether the store finds what a term asks for in the order of the main date."""
    match term:
        case TokenTerm():
            return bool(term.codes)
        case ReferenceTerm() | DateTerm():
            return term.parameter in {"patient", known.main_date}
        case ChainTerm(type="Patient"):
            through = known.get(term.parameter)
            return term.parameter == "patient" or (through is not None and through.as_patient)
        case _:
            return False


def _list(value: str) -> Term:
    ids = [values.plain(one) for one in values.split(value, ",")]
    if any(one.startswith("$") for one in ids):
        raise Incorrect(
            "no functional list ($current-problems …) is defined here: _list takes ids of Lists", at="_list"
        )
    if len(ids) > VALUES_MAX or not all(map(values.ID.fullmatch, ids)):
        raise Incorrect(f"_list takes ids of Lists, at most {VALUES_MAX}", at="_list")
    return IdTerm(tuple(dict.fromkeys(ids)))
