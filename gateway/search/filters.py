"""`_filter`: text → a tree of tests → terms (R4 search_filter).

The tree knows no resource type, because a filter in brackets is asked of every type that its link may name. `and` and
`or` are read from left to right without precedence, as the specification says. Codes are compared as they are written
(the specification would have them without case).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.errors import Incorrect
from gateway.formats import json
from gateway.search import keys, terms, values
from gateway.search.keys import Reading, Unknown
from gateway.search.parameters import Kind, Parameter, Parameters
from gateway.search.query import (
    AllTerm,
    AnyTerm,
    DateTerm,
    How,
    NotTerm,
    Prefix,
    Term,
)

LENGTH_MAX: Final = 4000
DEPTH_MAX: Final = 12
TESTS_MAX: Final = 50
OPERATORS: Final = frozenset(
    ["eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "ni", "re"]
)
CODES: Final = {
    "loinc": "http://loinc.org", "snomed": "http://snomed.info/sct", "ucum": "http://unitsofmeasure.org",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
}  # fmt: skip
"""Code systems that a filter may name shortly."""
_TEXTS: Final = {"eq": How.EQUALS, "co": How.CONTAINS, "sw": How.STARTS, "ew": How.ENDS}
_VALUE_SETS: Final = {"in": "in", "ni": "in", "ss": "below", "sb": "above"}

_SPACE = re.compile(r"[ \t\r\n]*")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-]*")
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s")\]][^\s)\]]*', re.DOTALL)
_ENDS: Final = frozenset(" (\t\r\n")
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Test:
    """`path operator value`; `links` are (link, filter in brackets) before the path."""

    links: tuple[tuple[str, Tree], ...]
    path: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Two trees joined by `and` or `or`; `not` has one."""

    word: str
    trees: tuple[Tree, ...]


Tree = Test | Joined


def read(known: Parameters, text: str, reading: Reading) -> Term:
    """Return the term that a filter is. Raises Incorrect."""
    if len(text) > LENGTH_MAX:
        raise _wrong(f"a filter has at most {LENGTH_MAX} characters")
    reading.private = True
    tree = _Parser(text).whole()
    try:
        return _term(known, tree, reading, 0)
    except Unknown:  # its text has the name as given, which here is part of a value
        raise _wrong(f"the filter names what is no search parameter of {known.type}, or of what it refers to") from None
    except Incorrect as refused:
        raise _wrong(refused.text) from None


def _wrong(why: str) -> Incorrect:
    return Incorrect(why, at="_filter")


class _Parser:
    """Reads one filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._tests = 0

    def whole(self) -> Tree:
        tree = self._joined(0)
        if self._at < len(self._text):
            raise _wrong(f"the filter is not understood from character {self._at + 1}")
        return tree

    def _joined(self, depth: int) -> Tree:
        if depth > DEPTH_MAX:
            raise _wrong(f"a filter is nested at most {DEPTH_MAX} deep")
        tree = self._one(depth)
        while word := self._word("and", "or"):
            tree = Joined(word, (tree, self._one(depth)))
        return tree

    def _one(self, depth: int) -> Tree:
        start = self._at
        if self._word("not"):
            if self._sign("("):
                return Joined("not", (self._closed(")", depth),))
            self._at = start
        if self._sign("("):
            return self._closed(")", depth)
        return self._test(depth)

    def _closed(self, sign: str, depth: int) -> Tree:
        tree = self._joined(depth + 1)
        if not self._sign(sign):
            raise _wrong(f"a {sign} is missing at character {self._at + 1} of the filter")
        return tree

    def _test(self, depth: int) -> Test:
        self._tests += 1
        if self._tests > TESTS_MAX:
            raise _wrong(f"a filter has at most {TESTS_MAX} tests")
        links = []
        path = self._take(_PATH, "a search parameter")
        while self._sign("["):
            links.append((path, self._closed("]", depth)))
            if not self._sign("."):
                raise _wrong(f"a . is missing after ] at character {self._at + 1} of the filter")
            path = self._take(_PATH, "a search parameter")
        operator = self._take(_WORD, "an operator")
        if operator not in OPERATORS:
            raise _wrong(f"no operator of a filter before character {self._at + 1}")
        value = self._take(_VALUE, "a value")
        return Test(tuple(links), path, operator, _text(value) if value[0] == '"' else value)

    def _take(self, what: re.Pattern[str], name: str) -> str:
        self._skip()
        found = what.match(self._text, self._at)
        if found is None:
            raise _wrong(f"{name} is missing at character {self._at + 1} of the filter")
        self._at = found.end()
        return found[0]

    def _word(self, *words: str) -> str:
        self._skip()
        found = _WORD.match(self._text, self._at)
        if found is None or found[0] not in words or self._text[found.end() : found.end() + 1] not in _ENDS:
            return ""
        self._at = found.end()
        return found[0]

    def _sign(self, sign: str) -> bool:
        self._skip()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        self._skip()
        return True

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()


def _text(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except Incorrect:
        raise _wrong("a text in the filter is no JSON text") from None


def _term(known: Parameters, tree: Tree, reading: Reading, depth: int) -> Term:
    if isinstance(tree, Joined):
        inner = tuple(_term(known, one, reading, depth) for one in tree.trees)
        return NotTerm(inner[0]) if tree.word == "not" else AllTerm(inner) if tree.word == "and" else AnyTerm(inner)
    return _test(known, tree, tree.links, reading, depth)


def _test(known: Parameters, test: Test, links: tuple[tuple[str, Tree], ...], reading: Reading, depth: int) -> Term:
    if not links:

        def leaf(of: Parameters, parameter: Parameter, modifier: str) -> Term:
            if modifier:
                raise terms.unsupported(parameter.name, modifier)
            return _leaf(of, parameter, test, reading)

        return keys.term(known, test.path, leaf, reading, depth)
    (path, inner), *more = links
    under = depth + path.count(".") + 1

    def then(target: Parameters) -> Term:
        end = _test(target, test, tuple(more), reading, under)
        return AllTerm((_term(target, inner, reading, under), end))

    return keys.reach(known, path, then, more[0][0] if more else test.path, depth)


def _leaf(known: Parameters, parameter: Parameter, test: Test, reading: Reading) -> Term:
    """Return the term of one test of one parameter: which operators a kind has is the table of R4 search_filter."""
    operator, value, context = test.operator, test.value, reading.context
    if operator == "pr":
        return terms.read(known, parameter, "missing", _opposite(value), context)
    if operator == "ne" and parameter.kind not in {Kind.DATE, Kind.NUMBER, Kind.QUANTITY}:
        same = _leaf(known, parameter, Test((), test.path, "eq", value), reading)
        there = terms.read(known, parameter, "missing", "false", context)
        return AllTerm((there, NotTerm(same)))
    literal = _escaped(value)
    match parameter.kind, operator:
        case Kind.STRING, "eq" | "co" | "sw" | "ew" if parameter.paths:
            return terms.string(parameter, [literal], _TEXTS[operator])
        case Kind.DATE, "po":
            _, low, high = values.date(parameter.name, _unprefixed(parameter, value), context)
            return DateTerm(parameter.name, ((Prefix.AP, low, high),))
        case Kind.DATE | Kind.NUMBER | Kind.QUANTITY, "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "ap" | "sa" | "eb":
            return terms.read(
                known, parameter, "", operator + _unprefixed(parameter, value).replace(",", r"\,"), context
            )
        case Kind.TOKEN, "in" | "ni" | "ss" | "sb" if parameter.name != "_id":
            given = [literal] if operator in {"in", "ni"} else [_named(value)]
            term = terms.tokens(parameter, terms.known_codes(parameter, _VALUE_SETS[operator], given, context))
            return NotTerm(term) if operator == "ni" else term
        case Kind.TOKEN, "eq":
            return terms.read(known, parameter, "", _named(value).replace(",", r"\,"), context)
        case (Kind.REFERENCE, "re" | "eq") | (Kind.URI, "eq"):
            return terms.read(known, parameter, "", literal, context)
        case Kind.COMPOSITE, "eq":
            return terms.read(known, parameter, "", value.replace(",", r"\,"), context)
        case _:
            raise _wrong(f"the operator {operator} is not supported for {parameter.name}, a {parameter.kind.value}")


def _opposite(value: str) -> str:
    if value not in {"true", "false"}:
        raise _wrong("pr is true or false")
    return "false" if value == "true" else "true"


def _unprefixed(parameter: Parameter, value: str) -> str:
    """Refuse a prefix beside an operator."""
    if value[:1].isalpha():
        raise _wrong(f"the value of {parameter.name} is no number or date")
    return value


def _escaped(value: str) -> str:
    r"""Return a value in which nothing separates: in a filter `\`, `,`, `$` and `|` mean themselves."""
    return re.sub(r"([,|$\\])", r"\\\1", value)


def _named(value: str) -> str:
    """Return system|code with a system that may be named shortly written out."""
    system, bar, code = value.partition("|")
    return CODES.get(system, system) + bar + code
