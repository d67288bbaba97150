"""Observation/$lastn (R4 observation-operation-lastn.html): of each code, a patient's newest observations.

Observations that share a coding are of one code; those without codings are told apart by their text. Newest is by
effective date, as the store keeps them; what has no date comes last.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway import access, errors
from gateway.access import Actor, Search
from gateway.access.scopes import Letter
from gateway.clock import Clock
from gateway.formats import json
from gateway.model import Resource
from gateway.search import parse
from gateway.search.query import After, Query, Sort
from gateway.serve import bundle
from gateway.serve.answer import Answer, outcome
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.permitted import PermittedStore
from gateway.serve.shaping import WHOLE
from gateway.store.port import Version

LOOKED_AT_MAX: Final = 10_000
SHOWN_MAX: Final = 1_000
MAX_MAX: Final = 100
_PAGE: Final = 500
_RESULT: Final = frozenset({"_count", "_sort", "_total", "_include", "_revinclude", "_contained", "_containedType"})
_ABOUT: Final = frozenset({"patient", "subject"})

OPERATION: Final = Operation(
    code="lastn",
    definition="http://hl7.org/fhir/OperationDefinition/Observation-lastn",
    levels=frozenset({Level.TYPE}),
    letter=Letter.SEARCH,
    text="The newest observations of each code of a patient",
    types=("Observation",),
    fields=(
        Field("max", "positiveInt", f"How many of each code, 1 unless told, at most {MAX_MAX}"),
        Field("patient", "string", "The patient, as in a search; or `subject`"),
        Field("subject", "string", "The subject, as in a search"),
        Field("category", "string", "As in a search"),
        Field("code", "string", "As in a search; every other search parameter of Observation is taken as well"),
    ),
)


@dataclass(slots=True)
class _Group:
    """The observations of one code, newest first."""

    codes: set[str]
    versions: list[Version] = field(default_factory=list)


class LastnHandler:
    """Answers $lastn; `base` is the address of the API, without a slash at its end."""

    def __init__(self, store: PermittedStore, base: str, clock: Clock) -> None:
        self._store = store
        self._base = base
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with a searchset, code by code."""
        access.decide(actor, Search(Query("Observation")))
        pairs = [*asking.pairs, *(_sent(asking.resource()) if asking.body else ())]
        most = _most([value for name, value in pairs if name == "max"])
        pairs = [(name, value) for name, value in pairs if name != "max"]
        if refused := [name for name, _ in pairs if name.partition(":")[0] in _RESULT]:
            raise errors.Incorrect("the order and number of a $lastn are its own", at=refused[0])
        if not any(name.partition(":")[0].partition(".")[0] in _ABOUT and value for name, value in pairs):
            raise errors.Incorrect("$lastn needs patient or subject", at="patient")
        asked = parse.understand("Observation", pairs, lenient=asking.lenient(), now=self._clock.now(), base=self._base)
        query = replace(asked.query, sort=Sort.DATE_NEWEST, order=(), count=_PAGE, total=False)
        groups = await self._groups(actor, query, most)
        shown = [one for group in groups for one in group.versions]
        if len(shown) > SHOWN_MAX:
            raise errors.TooLarge(
                f"$lastn shows at most {SHOWN_MAX} observations; ask for a category or code", at="max"
            )
        own = f"{self._base}/Observation/$lastn"
        private = asked.private or bool(asking.body)
        told = "" if private else "?" + urllib.parse.urlencode([*asked.used, ("max", str(most))])
        entries = bundle.found(shown, self._base, WHOLE)
        if asked.ignored:
            entries.append(bundle.note(outcome("warning", "not-supported", asked.ignored)))
        return Answer(200, bundle.bundle("searchset", links=[("self", own + told)], entries=entries, total=len(shown)))

    async def _groups(self, actor: Actor, query: Query, most: int) -> list[_Group]:
        """Return the groups in the order of their newest. Raises TooLarge when the search has too much to look at."""
        groups: list[_Group] = []
        looked_at = 0
        while True:
            page = await self._store.search(access.decide(actor, Search(query)))
            for version in page.versions:
                _sort_in(groups, version, most)
            looked_at += len(page.versions)
            if not page.more:
                return groups
            if looked_at >= LOOKED_AT_MAX:
                raise errors.TooLarge(
                    f"there are more than {LOOKED_AT_MAX} such observations; ask for a category, code or date",
                    at="code",
                )
            query = replace(query, after=After(page.last_key, page.last_rid, page.last_keys))


def _sort_in(groups: list[_Group], version: Version, most: int) -> None:
    codes = _codes(json.loads(version.body))
    mine = next((group for group in groups if group.codes & codes), None)
    if mine is None:
        mine = _Group(set())
        groups.append(mine)
    mine.codes |= codes
    if len(mine.versions) < most:
        mine.versions.append(version)


def _codes(resource: Resource) -> set[str]:
    code = resource.get("code", {})
    codings = {f"{one.get('system', '')}|{one['code']}" for one in code.get("coding", ()) if one.get("code")}
    return codings or {"text:" + " ".join(code.get("text", "").casefold().split())}


def _most(values: Sequence[str]) -> int:
    if len(values) > 1 or not all(one.isascii() and one.isdigit() and 0 < int(one[:9]) <= MAX_MAX for one in values):
        raise errors.Incorrect(f"max is one number from 1 to {MAX_MAX}", at="max")
    return int(values[0]) if values else 1


def _sent(resource: Resource) -> list[tuple[str, str]]:
    """Return the parameters of a Parameters resource as a search has them."""
    if resource.get("resourceType") != "Parameters":
        raise errors.Incorrect("$lastn takes a Parameters resource", at="resourceType")
    pairs = []
    for place, one in enumerate(resource.get("parameter", ())):
        value = next((value for kind, value in one.items() if kind.startswith("value")), None)
        if isinstance(value, bool) or not isinstance(value, str | int) or not isinstance(one.get("name"), str):
            raise errors.Incorrect(
                "a parameter of $lastn is a name with a string or a number", at=f"Parameters.parameter[{place}]"
            )
        pairs.append((one["name"], str(value)))
    return pairs
