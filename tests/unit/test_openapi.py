"""The OpenAPI document says what the tables say: routes, operations, search parameters; and as much as the statement."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.access.scopes import Letter
from gateway.clock import SystemClock
from gateway.formats import json
from gateway.search import parameters
from gateway.serve import openapi, operation
from gateway.serve.metadata import Capabilities
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.routes import TABLE, Route, Routes

EVERYTHING = Operation(
    "everything",
    "http://hl7.org/fhir/OperationDefinition/Patient-everything",
    frozenset({Level.TYPE, Level.INSTANCE}),
    Letter.SEARCH,
    "All of a patient",
    types=("Patient",),
    fields=(
        Field("start", "date", "From"),
        Field("_type", "code", "Types", maximum="*"),
        Field("thing", "Reference", "No"),
    ),
)
EXPAND = Operation("x", "urn:x", frozenset({Level.SYSTEM}), Letter.READ, "Anything", methods=("POST",))
ROWS = (*TABLE, *operation.rows(EVERYTHING), *operation.rows(EXPAND))
DOCUMENT = openapi.described("/fhir", ROWS, (EVERYTHING, EXPAND), version="1", address="https://gw.example")


def described() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}


def test_every_row_is_described_and_nothing_else_but_the_search_of_each_type():
    rows = {(row.method, "/fhir" + (row.pattern if row.pattern != "/" else "")) for row in ROWS}
    searches = {("GET", f"/fhir/{name}") for name in parameters.types()}
    assert described() == rows | searches


def test_each_operation_has_a_name_of_its_own():
    names = [one["operationId"] for item in DOCUMENT["paths"].values() for one in item.values()]
    assert len(names) == len({*names})


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for item in value.values() for one in references(item)]
    return [one for item in value for one in references(item)] if isinstance(value, list) else []


def test_every_reference_leads_somewhere_and_every_part_is_used():
    found = {*references(DOCUMENT)}
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "parameters", "responses")
        for name in DOCUMENT["components"][kind]
    }
    assert found == there


def asked(operation: dict[str, Any]) -> set[str]:
    known = DOCUMENT["components"]["parameters"]
    parts = [known[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in operation["parameters"]]
    return {one["name"] for one in parts if one["in"] == "query"}


def test_a_type_is_searched_by_what_the_capability_statement_says():
    statement = Capabilities("http://x/fhir", "1", SystemClock(), ROWS, (EVERYTHING, EXPAND)).statement()
    of_all = asked(DOCUMENT["paths"]["/fhir/{type}"]["get"])
    for resource in statement["rest"][0]["resource"]:
        said = {one["name"] for one in resource["searchParam"]}
        assert asked(DOCUMENT["paths"][f"/fhir/{resource['type']}"]["get"]) == said | of_all
    patient = next(one for one in statement["rest"][0]["resource"] if one["type"] == "Patient")
    assert patient["operation"] == [{"name": "everything", "definition": EVERYTHING.definition}]
    assert [one["name"] for one in statement["rest"][0]["operation"]] == ["x"]


def test_every_place_in_a_path_is_a_parameter():
    for path, item in DOCUMENT["paths"].items():
        for one in item.values():
            places = {part["name"] for part in one["parameters"] if part.get("in") == "path"}
            assert places == {*re.findall(r"\{(\w+)\}", path)}, path


def test_an_operation_is_asked_with_what_fits_an_address():
    got = DOCUMENT["paths"]["/fhir/{type}/{id}/$everything"]
    assert asked(got["get"]) == {"start", "_type", "_format", "_pretty"}
    assert got["get"]["parameters"][0]["schema"] == {"type": "string", "enum": ["Patient"]}
    assert "requestBody" in got["post"]


def test_the_document_stays_of_a_size_that_tools_read():
    assert len(json.dumps(DOCUMENT)) < 1 << 20


def test_two_rows_for_one_request_are_refused():
    with pytest.raises(ValueError, match="stands twice"):
        Routes((*TABLE, TABLE[0]))
    with pytest.raises(ValueError, match="stands where"):
        Routes((*TABLE, Route("GET", "/{type}/{version}", TABLE[0].interaction, None, "")))
