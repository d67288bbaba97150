"""The person index: which Patient records are one person, and which of them is current. Looks up, decides nothing.

A person's number leads to a record by its keyed hash, with no table in between (`fhir.ids`). Hospitals merge records
(HL7 v2 A40) and take merges back; a log-in with the old number must reach what stands under the new one, and what is
found under the old one is still his. What counts:

* `replaced-by` at the record that was replaced. `replaces` at the survivor says nothing by itself: the next merge into
  it overwrites it, and a record that is sent anew as its own is no longer merged, whatever the survivor says;
* `seealso` (A24) when both records say so: neither replaces the other.

Source: FHIR R4 Patient.link, link-type; HL7 v2.9 §3.6.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.formats import json
from gateway.search import parse
from gateway.search.query import Query
from gateway.store.port import Page, Version

RECORDS_MAX: Final = 64
"""Records of one person; what is linked beyond is not looked at: that is a fault in the data, not a person."""
_Links = dict[str, set[str]]
"""Type of link → ids of Patients."""


class Reader(Protocol):
    """The part of the store that this needs."""

    async def read_many(self, wanted: Sequence[tuple[str, str]]) -> list[Version]:
        """See `store.port.Store`."""
        ...

    async def search(self, query: Query) -> Page:
        """See `store.port.Store`."""
        ...


@dataclass(frozen=True, slots=True)
class SamePerson:
    """`current` is the record that replaced the one asked for, or that one itself; `all` has every record of the person."""

    current: str
    all: frozenset[str]


class PersonIndex:
    """Asks the store at every question: a merge counts from its commit on, and so does its withdrawal."""

    def __init__(self, store: Reader) -> None:
        self._store = store

    async def person_of(self, reference: str) -> SamePerson:
        """Return the records of the person whose record `Patient/<id>` is; one that nobody has written yet is alone.

        Of a circle of replacements, the current one is the one asked for. Raises Unavailable.
        """
        start = reference.removeprefix("Patient/")
        links: dict[str, _Links] = {start: {}}
        asked: set[str] = set()
        while news := sorted(_named(links) - asked)[: RECORDS_MAX - len(asked)]:
            asked |= set(news)
            links |= {version.id: _links(version.body) for version in await self._about(news)}
        return _connected(start, links)

    async def current(self, reference: str) -> str:
        """Return the record that replaced one, itself where none did. Raises Unavailable."""
        return (await self.person_of(reference)).current

    async def _about(self, ids: Sequence[str]) -> list[Version]:
        """Return these Patients, and those that link to them."""
        linking = parse.parse("Patient", [("link", ",".join(f"Patient/{one}" for one in ids)), ("_count", "1000")])
        own, page = await asyncio.gather(
            self._store.read_many([("Patient", one) for one in ids]), self._store.search(linking)
        )
        return [*own, *page.versions]


def _links(body: bytes) -> _Links:
    links: _Links = {}
    for link in json.look(body).get("link", ()):
        kind, _, name = link.get("other", {}).get("reference", "").partition("/")
        if kind == "Patient" and name and "/" not in name:
            links.setdefault(link.get("type", ""), set()).add(name)
    return links


def _named(links: dict[str, _Links]) -> set[str]:
    return set(links) | {other for each in links.values() for others in each.values() for other in others}


def _connected(start: str, links: dict[str, _Links]) -> SamePerson:
    same: dict[str, set[str]] = {}
    for one, own in links.items():
        mutual = {other for other in own.get("seealso", ()) if one in links.get(other, {}).get("seealso", ())}
        for other in own.get("replaced-by", set()) | mutual:
            same.setdefault(one, set()).add(other)
            same.setdefault(other, set()).add(one)
    found = [start]
    for one in found:
        found += sorted(same.get(one, set()) - set(found))
    return SamePerson(f"Patient/{_survivor(start, links)}", frozenset(f"Patient/{one}" for one in found))


def _survivor(start: str, links: dict[str, _Links]) -> str:
    """Follow `replaced-by` to its end; of a circle, return the record that was asked for."""
    seen = [start]
    while after := sorted(links.get(seen[-1], {}).get("replaced-by", set()) - {seen[-1]}):
        if after[0] in seen:
            return start
        seen.append(after[0])
    return seen[-1]
