"""Two FHIR servers with the same resources, asked the same: what they find has to be the same, or the race is worthless.

Compared, for each shape and some draws of its values: the status; how many matches the first page has; the order of what was
asked to be sorted; the total where it was asked for; and over all pages which resources matched, which were included, and what
stands in them (`meta` and the narrative apart, which are each server's own). Which of several pages an unsorted match is on is
nobody's promise, and not compared.
"""

from __future__ import annotations

import json
import random
import re
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from benchmarks.api.driver import Request, Response, Server
from benchmarks.api.population import Population, uid
from benchmarks.api.shapes import Shape

SEED = 20260102
PAGES_MAX = 200
WIDE = 50
"""Matches a page when all are fetched; HAPI gives no more."""
SHOWN_MAX = 3


@dataclass(slots=True)
class Answer:
    """What one server said to one question, over all pages."""

    status: int
    first_page: int = 0
    total: int | None = None
    order: list[str] = field(default_factory=list)
    matches: dict[str, Any] = field(default_factory=dict)
    included: dict[str, Any] = field(default_factory=dict)
    twice: int = 0

    @property
    def answered(self) -> bool:
        return 200 <= self.status < 300


@dataclass(slots=True)
class Verdict:
    """One question to both: `path` under the base, and in which ways the answers differ (empty: they agree)."""

    shape: str
    path: str
    ours: Answer
    peer: Answer
    differences: list[str]


def sorted_too(people: Population, patients: int) -> dict[str, Shape]:
    """Return a shape that sorts more than one match: a patient of the population has a code once, so the mixes' own seldom do."""

    def path(chance: random.Random) -> str:
        number = chance.randrange(patients)
        patient = uid(number, people.records[number % len(people.records)][0]["id"])
        return f"Observation?patient={patient}&_sort=-date&_count=20"

    return {"observation_by_patient_sorted": path}


async def compare(ours: Server, peer: Server, shapes: dict[str, Shape], *, draws: int = 3) -> list[Verdict]:
    """Ask both every shape, `draws` times with other values. A refusal (4xx) of either is no difference: it is `refused`."""
    found = []
    for name, shape in shapes.items():
        chance = random.Random(f"{SEED}/{name}")
        for path in dict.fromkeys(shape(chance) for _ in range(draws)):  # some have nothing to draw
            mine, theirs = await asked(ours, path), await asked(peer, path)
            differences = differing(mine, theirs) if mine.answered and theirs.answered else []
            found.append(Verdict(name, path, mine, theirs, differences))
    return found


def refused(verdicts: list[Verdict]) -> dict[str, dict[str, Counter[int]]]:
    """Return shape → {"ours": statuses, "peer": statuses}, of the shapes that either side did not answer with 2xx."""
    found: dict[str, dict[str, Counter[int]]] = {}
    for name in {one.shape for one in verdicts if not (one.ours.answered and one.peer.answered)}:
        told = [one for one in verdicts if one.shape == name]
        found[name] = {
            "ours": Counter(one.ours.status for one in told),
            "peer": Counter(one.peer.status for one in told),
        }
    return dict(sorted(found.items()))


async def asked(server: Server, path: str) -> Answer:
    """Return what a server answers: as it is asked, and then all of it, page after page."""
    response = await server.one(Request("GET", path))
    answer = Answer(response.status)
    if not answer.answered:
        return answer
    body = _parsed(response)
    if body.get("resourceType") != "Bundle":
        if body.get("resourceType") != "CapabilityStatement":  # each server's own
            answer.matches[_name(body)] = _content(body)
        return answer
    answer.total = body.get("total") if "_total=accurate" in path else None
    first = [entry["resource"] for entry in body.get("entry", []) if _matched(entry)]
    answer.first_page, answer.order = len(first), [_key(one, path) for one in first]
    await _gather(server, _widened(path), answer)
    return answer


def differing(ours: Answer, peer: Answer) -> list[str]:
    """Return in which ways two answers differ, in words."""
    found = [
        f"{name}: ours {mine}, the peer's {theirs}"
        for name, mine, theirs in (
            ("matches on the first page", ours.first_page, peer.first_page),
            ("total", ours.total, peer.total),
            ("order", ours.order, peer.order),
            ("resources on two pages", ours.twice, peer.twice),
        )
        if mine != theirs
    ]
    for words, mine, theirs in (
        ("matched", ours.matches, peer.matches),
        ("included", ours.included, peer.included),
    ):
        for who, some, others in (("ours", mine, theirs), ("the peer", theirs, mine)):
            if alone := sorted(some.keys() - others.keys()):
                found.append(f"{words} by {who} alone: {len(alone)}, as {', '.join(alone[:SHOWN_MAX])}")
        unlike = [name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]]
        if unlike:
            found.append(f"{words} with other content: {len(unlike)}, as {', '.join(sorted(unlike)[:SHOWN_MAX])}")
    return found


async def _gather(server: Server, path: str, answer: Answer) -> None:
    following: str | None = path
    for _ in range(PAGES_MAX):
        body = _parsed(await server.one(Request("GET", following or "")))
        for entry in body.get("entry", []):
            resource = entry["resource"]
            place = answer.matches if _matched(entry) else answer.included
            answer.twice += place is answer.matches and _name(resource) in place
            place[_name(resource)] = _content(resource)
        links = {link["relation"]: link["url"] for link in body.get("link", [])}
        if "next" not in links:
            return
        following = links["next"].partition(urllib.parse.urlsplit(server.base).path)[2].lstrip("/")
    raise RuntimeError(f"more than {PAGES_MAX} pages for {path}: compare fewer patients")


def _widened(path: str) -> str:
    return re.sub(r"([?&]_count=)\d+", rf"\g<1>{WIDE}", path)


def _parsed(response: Response) -> Any:
    if not 200 <= response.status < 300:
        raise RuntimeError(f"a page was answered with {response.status}: {response.text()[:300]!r}")
    return json.loads(response.text(), parse_float=Decimal)


def _matched(entry: dict[str, Any]) -> bool:
    return bool(entry.get("search", {}).get("mode", "match") == "match")


def _name(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource.get('id')}"


def _content(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in {"meta", "text"}}


def _key(resource: dict[str, Any], path: str) -> str:
    """Return what `_sort=-date` sorts by: the one sort that the shapes ask for."""
    if "_sort=-date" not in path:
        return ""
    return str(resource.get("effectiveDateTime") or resource.get("effectivePeriod"))
