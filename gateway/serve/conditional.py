"""Conditions of a write: If-Match, If-None-Match, If-None-Exist, `Type?query` (FHIR R4 http, conditional interactions).

A question is read strictly whatever the caller prefers: a criterion that is not understood would find too much.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway import errors
from gateway.search import parse, results
from gateway.search.query import Query, Sort
from gateway.serve.asking import pairs_of
from gateway.serve.step import Tags

SEVERAL: Final = 2
_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,9})"')


class SeveralMatch(errors.PreconditionFailed):
    """412: a condition that must name one resource finds several."""

    issue = "multiple-matches"


def tags(header: str, at: str = "If-Match") -> Tags | None:
    """Return what an If-Match header asks for, None without one. Raises Incorrect for what is no entity tag of ours.

    RFC 9110 asks for strong comparison here, and R4 for weak tags (`W/"3"`): both forms are taken.
    """
    if not header:
        return None
    if header.strip() == "*":
        return Tags(frozenset(), any=True)
    found = [_TAG.fullmatch(part.strip()) for part in header.split(",")]
    if not all(found):
        raise errors.Incorrect('an entity tag is W/"<version>"', at=at)
    return Tags(frozenset(int(each[1]) for each in found if each))


def fresh(header: str, at: str = "If-None-Match") -> bool:
    """Say whether an If-None-Match header of a write asks for nothing to be there. Raises Incorrect for a tag."""
    if header and header.strip() != "*":
        raise errors.Incorrect("of a write, If-None-Match is *", at=at)
    return bool(header)


def exists(resource_type: str, header: str, *, now: dt.datetime, base: str, at: str = "If-None-Exist") -> Query | None:
    """Return the question of an If-None-Exist header, None without one. Raises Incorrect."""
    if not header:
        return None
    text = header.strip().removeprefix(f"{base}/").removeprefix(resource_type).removeprefix("?")
    return question(resource_type, criteria(text, at), now=now, base=base, at=at)


def criteria(text: str, at: str) -> list[tuple[str, str]]:
    """Return the pairs of criteria that stand in a header or an element. Raises Incorrect with where, also for a character
    that a URI has only percent-encoded (RFC 3986 §2): another one in its place would be another question.
    """
    try:
        return pairs_of(text.encode())
    except errors.Incorrect as error:
        raise errors.Incorrect(error.text, at=at) from None


def question(
    resource_type: str, pairs: Sequence[tuple[str, str]], *, now: dt.datetime, base: str, at: str = ""
) -> Query:
    """Return the question of criteria. Raises Incorrect when there is none, or one that is not understood."""
    try:
        asked = parse.understand(resource_type, pairs, now=now, base=base)
    except errors.Incorrect as error:
        raise errors.Incorrect(error.text, at=at or error.at) from None
    query = asked.query
    if asked.ignored or not (query.terms or query.ids or query.updated):
        raise errors.Incorrect("a condition names what it is about, with a value for each parameter", at=at)
    if any(name.partition(":")[0] in results.ONCE | results.INCLUDES for name, _ in asked.used):
        raise errors.Incorrect("a condition has criteria alone, nothing about its result", at=at)
    return replace(query, count=SEVERAL, sort=Sort.NEWEST, order=(), total=False)
