"""What the tests of the search language share: a question of one term, and a terminology of two codes."""

import datetime as dt

from gateway import errors
from gateway.search import parse
from gateway.search.query import (
    TokenTerm,
    token,
)  # fmt: skip

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Codes:
    """Two codes of which one is above the other, and their value set."""

    def expand(self, value_set):
        if value_set != "http://vs":
            raise errors.Incorrect("no such value set")
        return [("s", "a"), ("s", "b")]

    def below(self, system, code):
        return [(system, code), *([(system, "b")] if code == "a" else [])]

    def above(self, system, code):
        return [(system, code), *([(system, "a")] if code == "b" else [])]


def one(kind: str, name: str, value: str):
    (term,) = parse.understand(kind, [(name, value)], now=NOW, codes=Codes()).query.terms
    return term


def tokens(name, *pairs):
    return TokenTerm(name, tuple(token(name, *pair) for pair in pairs))
