"""Parts of resources: laws over the R4 examples, and the table they come from."""

from __future__ import annotations

import pytest

from gateway.fhir import subset
from gateway.fhir.elements import elements
from gateway.fhir.validate import validate
from gateway.formats import json
from tests.corpus import corpus_folder
from tools import r4_tables


def examples():
    for path in sorted(corpus_folder("fhir-r4-examples").glob("*.json"))[::4]:
        yield path.name, json.loads(path.read_bytes())


@pytest.mark.corpus
def test_the_table_is_what_the_definitions_mark():
    text = subset.TABLE.read_text("utf-8").splitlines()
    rows = [line.partition(",")[::2] for line in text if not line.startswith("#")][1:]
    made = r4_tables.summaries(corpus_folder("fhir-r4-definitions"))
    assert rows == [(row["type"], row["elements"]) for row in made]


@pytest.mark.corpus
@pytest.mark.parametrize("summary", subset.SUMMARIES)
def test_a_part_is_valid_marked_and_holds_nothing_new(summary):
    for name, resource in examples():
        if validate(resource):
            continue
        part = subset.subset(resource, summary=summary)
        assert [issue for issue in validate(part) if issue.code != "invariant"] == [], name
        assert part["meta"]["tag"][-1] == subset.SUBSETTED
        assert within({key: value for key, value in part.items() if key != "meta"}, resource), name
        assert subset.subset(part, summary=summary) == part


def within(part, whole):
    """Whether every value of a part stands in the whole, in its order."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        rest = iter(whole)
        return all(any(within(one, other) for other in rest) for one in part)
    return part == whole


@pytest.mark.corpus
def test_elements_keep_what_must_be_there():
    for name, resource in examples():
        part = subset.subset(resource, names=["language"])
        known = elements(resource["resourceType"])
        assert {key for key in part if key.startswith("_")} <= {*resource}
        for key in resource.keys() & {key for key, element in known.items() if element.required}:
            assert part[key] == resource[key], name


def test_names_may_be_of_a_type_inside_an_element_or_a_choice():
    patient = {
        "resourceType": "Patient",
        "name": [{"family": "A", "given": ["B"]}, {"given": ["C"]}],
        "deceasedBoolean": False,
        "_birthDate": {"extension": [{"url": "urn:x", "valueCode": "y"}]},
        "modifierExtension": [{"url": "urn:m"}],
    }
    part = subset.subset(patient, names=["Patient.name.family", "deceased", "birthDate", "Observation.code"])
    assert part == {
        "resourceType": "Patient",
        "meta": {"tag": [subset.SUBSETTED]},
        "name": [{"family": "A"}],
        "deceasedBoolean": False,
        "_birthDate": patient["_birthDate"],
        "modifierExtension": [{"url": "urn:m"}],
    }


def test_a_name_that_a_type_does_not_have_is_told():
    assert subset.unknown("Patient", ["name", "Patient.deceased", "Observation.value", "id", "meta"]) == ""
    assert subset.unknown("Patient", ["name", "colour"]) == "colour"
    assert subset.unknown("Patient", ["Patient.colour"]) == "Patient.colour"


def test_a_summary_goes_into_elements_of_which_a_part_is_marked():
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "note": [{"text": "n"}],
        "component": [{"code": {"text": "y"}, "valueString": "z", "interpretation": [{"text": "high"}]}],
    }
    part = subset.subset(observation, summary="true")
    assert part["component"] == [{"code": {"text": "y"}, "valueString": "z"}]
    assert "note" not in part
