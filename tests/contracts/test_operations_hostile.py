"""Whatever is sent to an operation, the answer is a valid resource and never a 5xx; and search by the terminology that is stored."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.access import Actor, Kind
from gateway.access.scopes import parse as scopes
from gateway.errors import Incorrect
from gateway.search import parse
from gateway.search.match import match
from gateway.serve.operation import Level
from gateway.serve.operations import ROWS
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.permitted import PermittedStore
from tests.contracts.operations import SHELF, Desk, desk
from tests.contracts.stores import Database
from tests.contracts.test_operations_patients import RECORD
from tests.contracts.test_operations_terminology import CHOSEN, COLOURS, REDS, TO_GENDER, TREE

ACTOR = Actor("tester", scopes(("system/*.cruds",)), Kind.SYSTEM)
TEXTS = [
    "", " ", "x", "\u0000", "\ud7ff", "💊", "0", "-1", "1.5", "99999999999999999999", "true", "TRUE", "null", "2024-13-45", "2024",
    "2024-02-30T25:61:61Z", "http://example.org/chosen", "http://example.org/chosen|", "|", "||", "a|b|c", "\\", ",", "$", "%", "'; drop",
    "http://hl7.org/fhir/ValueSet/observation-status", COLOURS, f"{COLOURS}|2", "http://loinc.org", "red", "x" * 5000, "Patient/p", "p",
    "?fhir_vs", "http://snomed.info/sct?fhir_vs=isa/1", "da", "da;q=x", "*", "urn:ietf:bcp:47|", "ValueSet/chosen", "#", "../..",
]  # fmt: skip
VALUES: list[dict[str, Any]] = [
    *({"valueString": text} for text in TEXTS if text.strip()),
    {"valueCode": "red"}, {"valueUri": COLOURS}, {"valueBoolean": True}, {"valueInteger": -5}, {"valueInteger": 0}, {"valuePositiveInt": 3},
    {"valueCoding": {}}, {"valueCoding": {"system": COLOURS, "code": "red"}}, {"valueCoding": {"code": "red"}}, {"valueCoding": {"display": "x"}},
    {"valueCodeableConcept": {"text": "x"}}, {"valueCodeableConcept": {"coding": [{"system": COLOURS, "code": "red"}]}},
    {"valueMeta": {}}, {"valueMeta": {"tag": [{"code": "x"}]}}, {"valueMeta": {"profile": ["urn:x"]}}, {"valueDate": "2024"},
    {"resource": CHOSEN}, {"resource": TREE}, {"resource": TO_GENDER}, {"resource": {"resourceType": "Bundle", "type": "message"}},
    {"resource": {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": "#x"}]}}},
    {"resource": {"resourceType": "ConceptMap", "status": "active"}}, {"resource": {"resourceType": "CodeSystem"}},
    {"part": [{"name": "x", "valueString": "y"}]}, {},
]  # fmt: skip
FITTING = {
    "uri": ["http://example.org/chosen", COLOURS, "http://example.org/map", "http://loinc.org"],
    "canonical": [f"{COLOURS}|2"],
    "code": ["red", "scarlet", "blue", "da", "Observation"],
    "string": ["Patient/p", "red", "2"],
    "boolean": ["true", "false"],
    "integer": ["0", "1", "7"],
    "positiveInt": ["1", "3"],
    "date": ["2024-01-03"],
    "instant": ["2024-01-03T10:00:00Z"],
}
PARTS: dict[str, list[dict[str, Any]]] = {
    "Coding": [{"valueCoding": {"system": COLOURS, "code": "red"}}],
    "CodeableConcept": [{"valueCodeableConcept": {"coding": [{"system": COLOURS, "code": "red"}]}}],
    "Meta": [{"valueMeta": {"tag": [{"code": "x"}]}}],
    "ValueSet": [{"resource": CHOSEN}],
    "CodeSystem": [{"resource": TREE}],
    "ConceptMap": [{"resource": TO_GENDER}],
}
HOME = {"ValueSet": "chosen", "CodeSystem": "colours", "ConceptMap": "map", "Patient": "p", "Encounter": "visit"}


@pytest.fixture
async def asked(database: Database) -> AsyncIterator[Desk]:
    async with desk(database.url) as opened:
        await opened.put(TREE, REDS, CHOSEN, TO_GENDER, *RECORD)
        yield opened


ELSEWHERE = {"process-message", "who-has-seen"}
"""Operations that stand on a door or on the audit ledger, with tests of their own."""


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.code not in ELSEWHERE], ids=lambda row: f"{row.code}-{'-'.join(row.types)}"
)
async def test_no_request_ends_in_a_5xx(asked: Desk, row: Any) -> None:
    chance = random.Random(row.definition)
    seen = set()
    for _ in range(150):
        kind = row.types[0] if row.types else "Observation"
        place = [kind] if Level.TYPE in row.levels else []
        if Level.INSTANCE in row.levels and (not place or chance.random() < 0.4):
            place = [kind, HOME.get(kind, "pulse1")]
        pairs, sent = _asked(row, chance)
        body = {"resourceType": "Parameters", "parameter": sent} if sent else None
        if chance.random() < 0.1:
            body = chance.choice([CHOSEN, TREE, TO_GENDER, RECORD[0], {}, {"resourceType": "ValueSet"}])
        status, _ = await asked.ask("/".join([*place, f"${row.code}"]), *pairs, body=body)
        seen.add(status)
        assert status < 500, (place, pairs, body)
    assert {200, 400} <= seen


def _asked(row: Any, chance: random.Random) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Some of the parameters, mostly with values of their types, sometimes with others and under other names."""
    pairs, sent = [], []
    for field in chance.sample(row.fields, chance.randint(0, min(4, len(row.fields)))):
        odd = chance.random() < 0.2
        if field.type in PARTS:
            sent.append({"name": field.name, **chance.choice(VALUES if odd else PARTS[field.type])})
        else:
            pairs.append((field.name, chance.choice(TEXTS if odd else FITTING[field.type])))
    if chance.random() < 0.1:
        pairs.append((chance.choice(["colour", "_page"]), "x"))
    return pairs, sent


async def test_a_search_knows_value_sets_and_hierarchies_that_are_stored(asked: Desk) -> None:
    lender = StoredTerminology(PermittedStore(asked.store), SHELF)
    scarlet = {**RECORD[-1], "code": {"coding": [{"system": COLOURS, "code": "scarlet"}]}}
    crimson = {**RECORD[-1], "code": {"coding": [{"system": COLOURS, "code": "crimson"}]}}
    for name, value, found in (
        ("code:in", "http://example.org/chosen", [scarlet]),
        ("code:in", "ValueSet/chosen", [scarlet]),
        ("code:not-in", "http://example.org/chosen", [crimson]),
        ("code:below", f"{COLOURS}|red", [scarlet, crimson]),
        ("code:above", f"{COLOURS}|scarlet", [scarlet]),
        ("status:in", "http://hl7.org/fhir/ValueSet/observation-status", [scarlet, crimson]),
    ):
        codes = await lender.for_search(ACTOR, [(name, value)])
        query = parse.understand("Observation", [(name, value)], codes=codes).query
        assert [one for one in (scarlet, crimson) if match(query, one)] == found, (name, value)
    for name, value in (
        ("code:in", "urn:nothing"),
        ("code:below", "http://loinc.org|8480-6"),
        ("code:in", "ValueSet/none"),
    ):
        codes = await lender.for_search(ACTOR, [(name, value)])
        with pytest.raises(Incorrect):
            parse.understand("Observation", [(name, value)], codes=codes)
