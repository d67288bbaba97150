"""The tables of validation come from where they say: from fhir.resources and mappings/fhir, and those from R4."""

from __future__ import annotations

import pytest

from gateway.fhir.elements import elements
from gateway.formats import json
from gateway.terminology.tables import parse_table
from tests.corpus import corpus_folder
from tools import r4_tables


def rows(name):
    return [dict(row) for row in parse_table((r4_tables.MAPPINGS / f"{name}.csv").read_text("utf-8"))]


def test_the_element_table_is_what_fhir_resources_and_the_differences_give():
    """After an upgrade of fhir.resources: `python -m tools.r4_tables elements`, and read the diff."""
    assert r4_tables.R4_JSON.read_text("utf-8") == r4_tables.r4_json()


@pytest.mark.corpus
def test_the_element_table_is_r4_to_the_last_element():
    r4, bindings = r4_tables.definitions(corpus_folder("fhir-r4-definitions"))
    made = json.loads(r4_tables.R4_JSON.read_bytes())["types"]
    assert {
        path: {name: " ".join(row.split(" ")[:2]) for name, row in named.items()} for path, named in made.items()
    } == {path: {name: r4_tables._sorted(row) for name, row in named.items()} for path, named in r4.items()}
    assert {path: [*named] for path, named in made.items()} == {path: [*named] for path, named in r4.items()}
    assert {row["element"]: row["value_set"] for row in rows("required-bindings")} == bindings


@pytest.mark.corpus
def test_the_required_codes_are_those_of_the_r4_value_sets():
    wanted = {row["value_set"] for row in rows("required-bindings")}
    made = r4_tables.value_sets(corpus_folder("fhir-r4-definitions"), wanted)
    kept = {}
    for row in rows("required-codes"):
        kept.setdefault(row["value_set"], []).append((row["system"], row["code"]))
    assert kept == made
    assert {name.rpartition("/")[2] for name in wanted - made.keys()} == {
        "currencies",
        "mimetypes",
        "ucum-units",
        "LL379-9",
    }


def test_a_choice_stands_under_each_of_its_names():
    observation = elements("Observation")
    assert observation["valueQuantity"].choice == observation["valueString"].choice == "value"
    assert observation["component"].type_path == "Observation.component"
    assert observation["status"].value_set == "http://hl7.org/fhir/ValueSet/observation-status"
    assert "value[x]" not in observation
