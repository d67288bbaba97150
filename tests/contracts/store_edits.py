"""What the tests of `Store.write` share: edits, conditions, and a look at what became of them."""

from __future__ import annotations

from typing import Any

from gateway.fhir import body as bodies
from gateway.formats import json
from gateway.model import Resource
from gateway.search import parse
from gateway.search.index import extract as real_extract
from gateway.store.port import Condition, Edit
from gateway.store.postgres.store import PostgresStore

ALL_PARTS = dict.fromkeys(range(4), 0)


def edit(resource: Resource, *, expect: int | None = None, lane: str = "") -> Edit:
    body = bodies.prepare(resource)
    return Edit(
        resource["resourceType"],
        resource["id"],
        body,
        bodies.content_digest(body),
        lane,
        real_extract(resource),
        expect,
    )


def deletion(name: str, *, expect: int | None = None) -> Edit:
    return Edit("Observation", name, b"", expect=expect)


def patient(name: str, number: str = "1", **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": name, "identifier": [{"system": "urn:x", "value": number}], **more}


def none_has(number: str) -> Condition:
    return Condition(parse.parse("Patient", [("identifier", f"urn:x|{number}")]), ())


async def content(store: PostgresStore, name: str) -> Resource:
    version = await store.read("Observation", name)
    assert version is not None
    found: Resource = json.loads(version.body)
    return found


async def total(store: PostgresStore, number: str) -> int:
    page = await store.search(parse.parse("Patient", [("identifier", f"urn:x|{number}"), ("_total", "accurate")]))
    return page.total or 0
