"""Every official R4 example: stored, read back equal, indexed by every parameter that finds a value in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.fhir.validate import validate
from gateway.formats import json
from tests.corpus import corpus_folder
from tests.others.conftest import Api

pytestmark = pytest.mark.corpus
JSON = {"content-type": "application/fhir+json"}
VIEWED = {"AuditEvent"}
"""Types that nobody writes: the audit ledger shows them."""


def examples() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(corpus_folder("fhir-r4-examples").glob("*.json")):
        resource = json.loads(path.read_bytes())
        if resource.get("resourceType", "AuditEvent") not in VIEWED:
            yield path, resource


def without_stamp(resource: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in resource.get("meta", {}).items() if name not in {"versionId", "lastUpdated"}}
    rest = {name: value for name, value in resource.items() if name != "meta"}
    return {**rest, **({"meta": kept} if kept else {})}


def test_examples_are_stored_and_read_back_equal(api: Api) -> None:
    """Decimals as written, order of elements, contained resources, narrative: as they were sent."""
    stored = refused = 0
    with api.client() as client:
        for path, resource in examples():
            faults = validate(resource)
            address = f"/{resource['resourceType']}/{resource['id']}"
            answer = client.put(address, content=json.dumps(resource), headers=JSON)
            if faults:  # the examples are meant to be valid; those that are not are refused, and say where
                refused += 1
                assert answer.status_code in {400, 422}, path.name
                continue
            assert answer.status_code in {200, 201}, (path.name, answer.text)
            back = client.get(address)
            assert back.status_code == 200, path.name
            assert without_stamp(json.loads(back.content)) == without_stamp(resource), path.name
            assert json.dumps(without_stamp(json.loads(back.content))) == json.dumps(without_stamp(resource)), path.name
            stored += 1
    print(f"R4 examples: {stored} stored and read back equal, {refused} refused as invalid")
    assert stored > 500
    assert refused < 10


def test_examples_are_found_by_what_they_say(api: Api) -> None:
    """A resource is found by its id together with each token, reference, date and string that it can be asked by."""
    from gateway.search import parameters
    from gateway.search.index import extract
    from gateway.search.parameters import Kind

    asked = 0
    with api.client() as client:
        for path, resource in list(examples())[::7]:
            if validate(resource):
                continue
            kind, own = resource["resourceType"], resource["id"]
            index = extract(resource)
            for parameter in parameters.of(kind).all():
                if (
                    not parameter.supported
                    or parameter.kind in {Kind.SPECIAL, Kind.COMPOSITE}
                    or parameter.name[0] == "_"
                ):
                    continue
                present = bool(index.present >> parameter.bit & 1)
                answer = client.get(
                    f"/{kind}", params={"_id": own, f"{parameter.name}:missing": "false", "_elements": "id"}
                )
                assert answer.status_code == 200, (path.name, parameter.name, answer.text)
                assert bool(answer.json().get("entry")) == present, (path.name, parameter.name)
                asked += 1
    print(f"{asked} questions")
    assert asked > 500


def test_an_example_in_xml_reads_as_its_json(api: Api) -> None:
    with api.client() as client:
        for path, resource in list(examples())[::25]:
            if validate(resource):
                continue
            address = f"/{resource['resourceType']}/{resource['id']}"
            assert client.put(address, content=json.dumps(resource), headers=JSON).status_code in {200, 201}
            xml = client.get(address, headers={"accept": "application/fhir+xml"})
            assert xml.headers["content-type"].startswith("application/fhir+xml"), path.name
            sent: httpx.Response = client.put(
                address, content=xml.content, headers={"content-type": "application/fhir+xml"}
            )
            assert sent.status_code == 200, (path.name, sent.text)
            assert without_stamp(json.loads(client.get(address).content)) == without_stamp(resource), path.name
