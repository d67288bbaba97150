"""The leak cases of Microsoft's FHIR server (its sample data): a patient's caller never gets what is not in his record.

Judged here by R4's CompartmentDefinition and by reading the resources, not by the gateway's own idea of a reach.
"""

from __future__ import annotations

import itertools

import pytest

from gateway.fhir import body as bodies
from gateway.formats import json
from gateway.model import Mode, Resource
from gateway.search import parameters
from gateway.search.index import extract
from gateway.search.stated import references
from gateway.store.port import Batch, Write
from tests.contracts import stores
from tests.corpus import corpus_folder
from tests.leaks.gateway import Gateway, citizen, gateway

FILES = (
    "SmartCommon", "SmartCompartmentResources", "SmartPatientA", "SmartPatientB", "SmartPatientC", "SmartPatientD",
    "SmartIncludeRevIncludeCompartmentLeakSetup", "SmartCompartmentLeak", "SMARTv2ScopesBundleTransaction",
)  # fmt: skip


@pytest.fixture(scope="module")
def here(postgres_url):
    folder = corpus_folder("ms-fhir-server-data")
    found: dict[str, Resource] = {}
    for file in FILES:
        for entry in json.loads((folder / f"{file}.json").read_bytes().removeprefix(b"\xef\xbb\xbf")).get("entry", ()):
            one = entry.get("resource")
            if one and one.get("id"):
                found[f"{one['resourceType']}/{one['id']}"] = one
    with gateway(postgres_url) as made:
        made.resources = found
        writes = []
        for one in found.values():
            body = bodies.prepare(one)
            writes.append(
                Write(
                    type=one["resourceType"],
                    id=one["id"],
                    mode=Mode.PUT,
                    body=body,
                    digest=bodies.content_digest(body),
                    event_time=stores.NOON,
                    index=extract(one),
                )
            )
        made.runner.run(made.store.apply(Batch([stores.message(*writes)])))
        for name in found:
            if name.startswith("Patient/"):
                made.know(name, citizen(name.removeprefix("Patient/")))
        yield made


def patients(here: Gateway) -> list[str]:
    return sorted(name for name in here.resources if name.startswith("Patient/"))


def of(resource: Resource, patient: str) -> bool:
    """Whether a resource is in a patient's compartment by R4, and whose it is by its subject is nobody else."""
    kind = resource["resourceType"]
    if f"{kind}/{resource['id']}" == patient:
        return True
    members = parameters.compartment("Patient", kind) or ("patient",)
    inside = any(patient in references(resource, one) for one in members if parameters.of(kind).get(one))
    subject = {
        text
        for one in ("subject", "patient", "beneficiary", "individual", "candidate", "for")
        for text in _named(resource.get(one))
    }
    return inside and subject <= {patient}


def _named(value: object) -> list[str]:
    return [
        one["reference"]
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, dict) and "reference" in one
    ]


def nobody(resource: Resource) -> bool:
    if resource["resourceType"] == "Schedule":
        return not [one for one in _named(resource["actor"]) if one.partition("/")[0] in {"Patient", "RelatedPerson"}]
    return not parameters.compartment("Patient", resource["resourceType"]) and not _named(resource.get("patient"))


def allowed(here: Gateway, name: str, patient: str) -> bool:
    """Whether a patient's caller may be shown a resource: his, nobody's, or what is about nothing else."""
    resource = here.resources[name]
    if resource["resourceType"] == "Provenance":
        return all(target in here.resources and allowed(here, target, patient) for target in _named(resource["target"]))
    return of(resource, patient) or nobody(resource)


def test_the_world_is_there(here):
    assert len(here.resources) > 80
    assert len(patients(here)) > 6


def test_reads_and_searches_of_every_type(here):
    met = 0
    kinds = sorted({name.partition("/")[0] for name in here.resources})
    for patient in patients(here):
        for kind in kinds:
            found = here.pages(patient, f"/{kind}?_count=50")
            found += here.pages(patient, f"/{kind}/_history?_count=50")
            for name in found:
                assert allowed(here, name, patient), (patient, name)
            met += len(found)
        for name in here.resources:
            for address in (f"/{name}", f"/{name}/_history"):
                if here.get(patient, address).status == 200:
                    assert allowed(here, name, patient), (patient, name)
    assert met > 100


def test_what_comes_along(here):
    ways = [
        "_include=*&_include:iterate=*", "_revinclude=*", "_include=*&_revinclude:iterate=Observation:subject&_include:iterate=*",
    ]  # fmt: skip
    kinds = ("Patient", "Observation", "DiagnosticReport", "Coverage", "Practitioner", "Organization")
    callers = [
        f"Patient/smart-{one}" for one in ("patient-A", "compartment-leak-patient-b", "leak-child", "leak-parent")
    ]
    assert {*callers} <= {*patients(here)}
    for patient, kind, way in itertools.product(callers, kinds, ways):
        for name in here.get(patient, f"/{kind}?{way}").ids:
            assert allowed(here, name, patient), (patient, kind, way, name)


def test_chains_and_has_by_what_others_say(here):
    for patient in patients(here):
        others = [
            name for name in here.resources if name.startswith("Observation/") and not of(here.resources[name], patient)
        ]
        for name in others:
            _, other = name.split("/")
            for question in (
                f"Patient?_has:Observation:patient:_id={other}", f"Practitioner?_has:Observation:performer:_id={other}", f"Device?_has:Observation:device:_id={other}",
                f"DiagnosticReport?result:Observation._id={other}", f"Observation?_has:DiagnosticReport:result:result=Observation/{other}&_id={other}",
            ):  # fmt: skip
                told = here.get(patient, f"/{question}&_total=accurate")
                assert told.json["total"] == 0, (patient, question)


def test_everything(here):
    for patient in patients(here):
        for name in here.pages(patient, f"/{patient}/$everything"):
            assert allowed(here, name, patient), (patient, name)
        for other in patients(here):
            if other != patient:
                assert here.get(patient, f"/{other}/$everything").status == 404
