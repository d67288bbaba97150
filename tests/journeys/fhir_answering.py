"""What the tests of answers share: a server with a little of everything, and an operation that echoes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway import errors
from gateway.access.scopes import Letter
from gateway.fhir.validate import validate
from gateway.formats import json as exact
from gateway.formats.packed import Limits
from gateway.serve.answer import Answer
from gateway.serve.operation import Field, Level, Operation
from tests.journeys.fhir_server import FhirServer, serving

PERSON = "2512489996"  # a Danish test number
LOINC = "http://loinc.org"
SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
ECHO = Operation(
    "echo",
    "http://example.org/OperationDefinition/echo",
    frozenset(Level),
    Letter.READ,
    "What was sent",
    types=("Patient", "Observation"),
    fields=(Field("word", "string", "A word"), Field("thing", "Reference", "A thing")),
)


CHANGING = Operation(
    "changing",
    "http://example.org/OperationDefinition/changing",
    frozenset({Level.SYSTEM}),
    Letter.UPDATE,
    "What was sent, as an operation that changes something",
    methods=("POST",),
)


async def echo(_, asking):
    if asking.body:
        sent = asking.resource()
        if validate(sent):
            raise errors.Unprocessable("this is not valid FHIR R4")
        return Answer(200, exact.dumps(sent))
    said = [{"name": name, "valueString": value} for name, value in asking.pairs]
    matched = asking.matched
    place = {"name": "at", "valueString": f"{matched.type}/{matched.id}"}
    return Answer(200, exact.dumps({"resourceType": "Parameters", "parameter": [place, *said]}))


def observation(number: int, **more):
    return {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "category": [{"text": "vital"}],
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a &lt; b</div>'},
        "code": {"coding": [{"system": LOINC, "code": "8480-6"}]}, "subject": {"reference": f"Patient/p{number % 3}"},
        "encounter": {"reference": f"Encounter/e{number % 2}"}, "performer": [{"reference": "Practitioner/d0"}],
        "effectiveDateTime": f"2026-03-{number % 28 + 1:02d}T08:00:00+01:00", "valueQuantity": {"value": exact.loads("1.20"), "unit": "mmHg"}, **more,
    }  # fmt: skip


def serve_answers(folder: Path) -> Iterator[FhirServer]:
    """Serve patients, encounters and observations, with an operation that says what it was sent."""
    limits = Limits(bytes_max=100_000, gzip_ratio_max=20, seconds_max=5)
    with serving(folder, operations=[(ECHO, echo), (CHANGING, echo)], limits=limits) as server:
        server.put(
            *(
                {
                    "resourceType": "Patient",
                    "id": f"p{n}",
                    "identifier": [{"system": "urn:oid:1.2.208.176.1.2", "value": PERSON}],
                    "name": [{"family": "Bjørnsen", "given": ["Ane"]}],
                    "managingOrganization": {"reference": "Organization/g0"},
                    "generalPractitioner": [{"reference": "Practitioner/d0"}],
                }
                for n in range(3)
            ),
            {"resourceType": "Practitioner", "id": "d0", "name": [{"family": "Holm"}]},
            {"resourceType": "Organization", "id": "g0", "name": "Sygehus", "partOf": {"reference": "Organization/g1"}},
            {"resourceType": "Organization", "id": "g1", "name": "Region", "partOf": {"reference": "Organization/g0"}},
            *(
                {
                    "resourceType": "Encounter",
                    "id": f"e{n}",
                    "status": "finished",
                    "class": {"code": "IMP"},
                    "subject": {"reference": f"Patient/p{n}"},
                }
                for n in range(2)
            ),
            *(observation(n) for n in range(12)),
        )
        server.put(observation(0, status="amended"), minute=1)
        server.put(observation(1), minute=2, deleted=True)
        yield server


def names(bundle: dict, mode: str = "match") -> list[str]:
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in bundle.get("entry", ())
        if entry["search"]["mode"] == mode
    ]
