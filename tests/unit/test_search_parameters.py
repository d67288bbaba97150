"""The table of search parameters against the R4 definitions, and every one of them in a question."""

import json

import pytest

from gateway.search import parameters, parse
from gateway.search.parameters import Kind
from tests.corpus import corpus_folder
from tools import make_search_parameters as maker

VALUES = {
    Kind.TOKEN: "true", Kind.REFERENCE: "x", Kind.DATE: "2026", Kind.URI: "urn:x", Kind.STRING: "x", Kind.NUMBER: "1", Kind.QUANTITY: "1",
    Kind.SPECIAL: "1|2",
}  # fmt: skip
WITHOUT_PLACE = {"_query"}
"""R4 gives it no expression, and `match` no reading (docs/reference/search.md)."""


@pytest.fixture(scope="module")
def definitions():
    return corpus_folder("fhir-r4-definitions")


def bundle(folder):
    return [entry["resource"] for entry in json.loads((folder / "search-parameters.json").read_bytes())["entry"]]


@pytest.mark.corpus
def test_the_tables_are_what_the_definitions_make(definitions):
    known = maker.Definitions(definitions)
    made = sorted(maker.parameters(definitions, known), key=lambda row: (row["base"], row["parameter"]))
    assert made == parameters._rows("search-parameters.csv")
    assert sorted(maker.types(definitions, known), key=lambda row: row["type"]) == parameters._rows(
        "resource-types.csv"
    )


@pytest.mark.corpus
def test_every_parameter_of_r4_is_known_to_every_type_that_has_it(definitions):
    checked = 0
    for definition in bundle(definitions):
        for base in definition["base"]:
            kinds = parameters.types() if base in {"Resource", "DomainResource"} else [base]
            for kind in kinds:
                if base == "DomainResource" and kind in {"Binary", "Bundle", "Parameters"}:
                    continue
                parameter = parameters.of(kind).get(definition["code"])
                assert parameter is not None, (kind, definition["code"])
                assert parameter.kind == definition["type"]
                checked += 1
    assert checked > 2500


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["Patient", "Encounter", "Practitioner", "RelatedPerson", "Device"])
def test_compartments_are_those_of_the_definitions(definitions, name):
    file = definitions / f"CompartmentDefinition-{name[0].lower() + name[1:]}.json"
    members = {entry["code"]: entry.get("param", []) for entry in json.loads(file.read_bytes())["resource"]}
    for kind in parameters.types():
        expected = tuple("_id" if one == "{def}" else one for one in members.get(kind, ()))
        assert parameters.compartment(name, kind) == expected
        assert all(parameters.of(kind).get(one) for one in expected), (name, kind)
    assert parameters.types() == {kind: parameters.compartment("Patient", kind) for kind in parameters.types()}


def value_of(known, parameter):
    if parameter.kind is Kind.COMPOSITE:
        return "$".join(value_of(known, known.get(part.name)) for part in parameter.components)
    return VALUES[parameter.kind]


def test_every_supported_parameter_can_be_asked_for_and_no_other():
    asked, refused = 0, set()
    for kind in parameters.types():
        known = parameters.of(kind)
        for parameter in known.all():
            try:
                query = parse.parse(kind, [(parameter.name, value_of(known, parameter))])
            except parse.Incorrect:
                refused.add(parameter.name)
                assert not parameter.supported
            else:
                assert parameter.supported
                assert query.terms or query.ids or query.updated
                asked += 1
    assert asked > 2500
    assert refused == WITHOUT_PLACE


def test_every_component_of_a_composite_is_a_parameter_with_a_place():
    found = 0
    for kind in parameters.types():
        known = parameters.of(kind)
        for parameter in known.all():
            for part in parameter.components:
                assert known.get(part.name) is not None
                assert part.paths or part.apart
                found += 1
            assert bool(parameter.components) is (parameter.kind is Kind.COMPOSITE)
    assert found > 100
