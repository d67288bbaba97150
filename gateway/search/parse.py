"""The parameters of a search request → a `Query`. Strict: what is not understood is refused by name, never ignored.

`Prefer: handling=lenient` asks for the opposite; what was ignored is then reported. A modifier that is not supported
is refused either way (R4 search, modifiers), for it would turn the question round. Not here: `_format` and `_pretty`,
which are about the answer, and `_page`, which holds a whole question.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import Incorrect, NotFound
from gateway.search import parameters, times
from gateway.search.parameters import Kind, Parameter, Parameters
from gateway.search.query import DateTerm, Prefix, Query, ReferenceTerm, Sort, Term, TokenTerm, reference, token
from gateway.search.references import type_of

COUNT_DEFAULT: Final = 20
COUNT_MAX: Final = 500
PARAMETERS_MAX: Final = 40
VALUES_MAX: Final = 100
"""How many values one parameter may join by commas."""
RESULT: Final = ("_count", "_sort", "_total", "_summary")
NOT_YET: Final = frozenset(
    {"_has", "_include", "_revinclude", "_filter", "_list", "_text", "_content", "_query", "_type", "_elements"}
    | {"_contained", "_containedType"}
)
SPECIAL_VALUES: Final = "http://terminology.hl7.org/CodeSystem/special-values"

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LITERAL = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}")
_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=[0-9])")
_NOTHING: Final = ("",)
"""`_id` values that no resource has."""


@dataclass(slots=True)
class Asked:
    """A search request as understood: the query, the parameters that made it, and why others were ignored."""

    query: Query
    used: list[tuple[str, str]]
    ignored: list[str]
    private: bool
    """Whether a value among `used` may name a person: such values are never written into a link."""


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
) -> Asked:
    """Return the search that decoded `pairs` of a request ask for, in any order.

    `now` is what `ap` measures distance from; without it `ap` is refused. References below `base` (the address of this
    API) are taken as relative ones. Raises NotFound for a type that R4 does not have, Incorrect for anything that is
    not understood, with the parameter as `at`.
    """
    try:
        known = parameters.of(resource_type)
    except KeyError:
        raise NotFound("R4 has no such resource type") from None
    if len(pairs) > PARAMETERS_MAX:
        raise Incorrect(f"a search has at most {PARAMETERS_MAX} parameters")
    reader = _Reader(known, lenient=lenient, now=now, base=base.rstrip("/") + "/" if base else "")
    for name, value in pairs:
        reader.take(name, value)
    return reader.asked()


@dataclass(slots=True)
class _Reader:
    """Collects what the pairs of one request say."""

    known: Parameters
    lenient: bool
    now: dt.datetime | None
    base: str
    terms: list[Term] = field(default_factory=list)
    updated: list[DateTerm] = field(default_factory=list)
    ids: tuple[str, ...] | None = None
    results: dict[str, str] = field(default_factory=dict)
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    private: bool = False

    def take(self, name: str, value: str) -> None:
        """Add one parameter."""
        if value == "":
            self.ignored.append(f"{_shown(name)} has no value")
            return
        stem, _, modifier = name.partition(":")
        parameter = None if "." in modifier else self.known.get(stem)
        if stem in RESULT:
            if name in self.results or modifier:
                raise Incorrect(f"{stem} can be given once, without a modifier", at=stem)
            self.results[name] = value
        elif parameter is None or not parameter.supported:
            self._unsupported(name, stem, parameter)
            return
        else:
            self._filter(parameter, modifier, value)
        self.used.append((name, value))

    def _unsupported(self, name: str, stem: str, parameter: Parameter | None) -> None:
        if parameter is not None or stem in NOT_YET or "." in name:
            why = f"{_shown(name)} is not supported yet"
        else:
            why = f"{_shown(name)} is not a search parameter of {self.known.type}"
        if not self.lenient:
            raise Incorrect(why, at=_shown(name))
        self.ignored.append(why)

    def _filter(self, parameter: Parameter, modifier: str, value: str) -> None:
        name = parameter.name
        if modifier and not (parameter.kind is Kind.REFERENCE and modifier in parameters.types()):
            raise Incorrect(f"the modifier {_shown(':' + modifier)} of {name} is not supported", at=name)
        values = _split(value, ",")
        if len(values) > VALUES_MAX:
            raise Incorrect(f"{name} has more than {VALUES_MAX} values", at=name)
        if "" in values:
            raise Incorrect(f"{name} has an empty value between commas", at=name)
        if name == "_id":
            ids = {_plain(one) for one in values} if self.ids is None else {_plain(one) for one in values} & {*self.ids}
            self.ids = tuple(sorted(one for one in ids if _ID.fullmatch(one))) or _NOTHING
        elif parameter.kind is Kind.DATE:
            term = DateTerm(name, tuple(self._date(name, one) for one in values))
            if name == "_lastUpdated":
                self.updated.append(term)
            else:
                self.terms.append(term)
        elif parameter.kind is Kind.REFERENCE:
            self.terms.append(self._references(parameter, modifier, values))
        else:
            self.private = self.private or any(
                place.type in {"Identifier", "ContactPoint"} for place in parameter.paths
            )
            self.terms.append(_tokens(parameter, values))

    def _date(self, name: str, text: str) -> tuple[Prefix, dt.datetime, dt.datetime]:
        text = _plain(text)
        found = _PREFIX.match(text)
        prefix = Prefix(found[0]) if found else Prefix.EQ
        # a plus sign that nobody encoded arrives as a blank
        moment = (text[2:] if found else text).replace(" ", "+")
        try:
            low, high = times.interval(moment)
        except ValueError:
            raise Incorrect(f"{name} is not a date, or its prefix is none of R4's", at=name) from None
        if prefix is Prefix.AP:
            if self.now is None:
                raise Incorrect(f"the prefix ap of {name} is not supported here", at=name)
            low, high = times.approximately(low, high, self.now)
        return prefix, low, high

    def _references(self, parameter: Parameter, modifier: str, values: list[str]) -> ReferenceTerm:
        """Return the term; its parameter is `patient` when nothing but patients can answer it."""
        hashes: dict[int, str] = {}
        for one in values:
            for target in self._targets(parameter, modifier, _plain(one)):
                patient = parameter.as_patient and type_of(target) == "Patient"
                stored = "patient" if patient else parameter.name
                hashes[reference(stored, target)] = stored
        return ReferenceTerm("patient" if {*hashes.values()} == {"patient"} else parameter.name, tuple(hashes))

    def _targets(self, parameter: Parameter, modifier: str, text: str) -> list[str]:
        """Return the literal references that a value can mean: several when it is an id alone."""
        name = parameter.name
        if self.base and text.startswith(self.base):
            text = text.removeprefix(self.base)
        if "/_history/" in text:
            raise Incorrect(f"{name}: references to a version are not supported", at=name)
        if not parameter.targets or (":" in text and not modifier):
            return [text]
        if modifier:
            if not _ID.fullmatch(text.removeprefix(modifier + "/")):
                raise Incorrect(f"{name}:{modifier} takes an id", at=name)
            return [f"{modifier}/{text.removeprefix(modifier + '/')}"]
        if _ID.fullmatch(text):
            only = {place.target for place in parameter.paths}
            return [f"{target}/{text}" for target in parameter.targets if "" in only or target in only]
        literal = _LITERAL.fullmatch(text)
        if literal is None or literal[1] not in parameters.types():
            raise Incorrect(f"{name} takes an id, Type/id or an absolute address", at=name)
        return [text]

    def asked(self) -> Asked:
        """Return everything taken, as one query."""
        sort = self._sort()
        count = self._count()
        total = self.results.get("_total", "none")
        if total not in {"none", "estimate", "accurate"}:
            raise Incorrect("_total is none, estimate or accurate", at="_total")
        summary = self.results.get("_summary", "false")
        if summary not in {"false", "count"}:
            raise Incorrect("_summary is not supported yet, but for false and count", at="_summary")
        count = 0 if summary == "count" else count
        query = Query(
            type=self.known.type,
            terms=tuple(dict.fromkeys(self.terms)),
            ids=self.ids or (),
            updated=tuple(self.updated),
            sort=sort,
            count=count,
            total=total != "none" or count == 0,
        )
        return Asked(query, self.used, self.ignored, self.private)

    def _count(self) -> int:
        text = self.results.get("_count", str(COUNT_DEFAULT))
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise Incorrect("_count is a number from 0", at="_count")
        return min(int(text), COUNT_MAX)

    def _sort(self) -> Sort:
        """Return the order asked for.

        Without one: newest main date first where the question names a patient, a code or that date, else newest update
        first (the store has an index in that order for each).
        """
        main = self.known.main_date
        orders = {"_lastUpdated": Sort.OLDEST, "-_lastUpdated": Sort.NEWEST}
        if main:
            orders |= {main: Sort.DATE_OLDEST, "-" + main: Sort.DATE_NEWEST}
        text = self.results.get("_sort")
        if text is None:
            return Sort.DATE_NEWEST if main and any(_by_date(term, main) for term in self.terms) else Sort.NEWEST
        if text not in orders:
            raise Incorrect(
                f"_sort of {self.known.type} is one of {', '.join(orders)}; more is not supported yet", at="_sort"
            )
        return orders[text]


def _by_date(term: Term, main: str) -> bool:
    """Say whether the store finds what a term asks for in the order of the main date."""
    match term:
        case TokenTerm():
            return bool(term.codes)
        case _:
            return term.parameter in {"patient", main}


def _tokens(parameter: Parameter, values: list[str]) -> TokenTerm:
    hashes: list[int] = []
    codes: list[int] = []
    kinds = {place.type for place in parameter.paths}
    implied = parameter.system or (SPECIAL_VALUES if kinds <= {"boolean", "Truth"} else "")
    for one in values:
        parts = [one] if parameter.kind is Kind.URI else _split(one, "|")
        system = _plain(parts[0]) if len(parts) > 1 else None
        code = _plain(parts[-1])
        if len(parts) > 2 or not code:  # noqa: PLR2004
            why = "any code of a system is not supported yet" if len(parts) == 2 else "takes code or system|code"  # noqa: PLR2004
            raise Incorrect(f"{parameter.name}: {why}", at=parameter.name)
        if kinds <= {"boolean", "Truth"} and code not in {"true", "false"}:
            raise Incorrect(f"{parameter.name} is true or false", at=parameter.name)
        if system and system == implied:
            system = None
        for name in parameter.stored_as:
            hashes.append(token(name, system, code))
            codes.append(token(name, None, code))
    return TokenTerm(parameter.name, tuple(hashes), tuple(codes) if "code" in parameter.stored_as else ())


def _split(text: str, separator: str) -> list[str]:
    """Cut at separators that no backslash stands before; escapes stay."""
    if separator not in text:
        return [text]
    parts, start, escaped = [], 0, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == separator:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _plain(text: str) -> str:
    r"""Take the escapes `\,` `\|` `\$` `\\` out (R4 search, escaping)."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def _shown(name: str) -> str:
    """Return a parameter name as a caller may see it back: nothing but its first plain characters."""
    return re.sub(r"[^A-Za-z0-9_.:\-]", "?", name[:64])
