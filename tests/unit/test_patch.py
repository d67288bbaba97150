"""JSON Patch and FHIRPath Patch: the suites of others, and what neither of them asks."""

from __future__ import annotations

import copy
import json as plain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.errors import Incorrect, Refused, TooLarge, Unprocessable
from gateway.fhir import patch, path_patch, places, xml
from gateway.formats import json
from tests.corpus import corpus_folder


def suite(name: str) -> Any:
    return corpus_folder("fhir-test-cases") / "r4" / "patch" / name


def resource(case: Any, part: str) -> Any:
    """The resource in a part of a case; an element without children is a resource of nothing but its type."""
    found = case.find(part)
    if found is None:
        return None
    return xml.loads(etree.tostring(found[0])) if len(found[0]) else {"resourceType": etree.QName(found[0]).localname}


@pytest.mark.corpus
def test_the_official_fhirpath_patch_suite_agrees():
    cases = etree.parse(str(suite("fhir-patch-tests.xml"))).getroot().findall("case")
    assert len(cases) > 30
    for case in cases:
        given_, diff, wanted = (resource(case, part) for part in ("input", "diff", "output"))
        name = case.get("name")
        if case.find("error") is not None:
            with pytest.raises(Refused):
                path_patch.read(diff).apply(given_)
            continue
        assert path_patch.read(diff).apply(given_) == wanted, name


@pytest.mark.corpus
def test_the_json_patch_suite_agrees():
    cases = plain.loads(suite("json-patch-tests.json").read_text("utf-8"))
    assert len(cases) > 10
    for case in cases:
        body = plain.dumps(case["patch"]).encode()
        if "error" in case:
            with pytest.raises(Refused):
                patch.read(body).apply(case["doc"])
        else:
            assert patch.read(body).apply(case["doc"]) == case["expected"], case["comment"]


# what values are


def test_a_test_knows_true_from_one_and_keeps_precision_apart_from_value():
    document = {"resourceType": "X", "a": 1, "b": True, "c": json.loads("1.20")}
    assert patch.read(b'[{"op":"test","path":"/c","value":1.2}]').apply(document) == document
    for wrong in (b'[{"op":"test","path":"/a","value":true}]', b'[{"op":"test","path":"/b","value":1}]'):
        with pytest.raises(Unprocessable) as refused:
            patch.read(wrong).apply(document)
        assert refused.value.at == "[0]"


def test_the_resource_that_is_patched_is_not_changed():
    before = {"resourceType": "Patient", "name": [{"family": "a"}]}
    kept = copy.deepcopy(before)
    patch.read(b'[{"op":"add","path":"/name/0/given","value":["b"]},{"op":"remove","path":"/name"}]').apply(before)
    assert before == kept


def test_copies_of_copies_are_refused_before_they_grow():
    bomb = plain.dumps([{"op": "copy", "from": "/name", "path": "/name/-"}] * 100).encode()
    with pytest.raises(TooLarge):
        patch.read(bomb).apply({"resourceType": "Patient", "name": ["x" * 100]})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.sampled_from(
    ["", "/", "/name", "/name/0", "/name/-", "/name/0/given", "/name/99", "/~2", "name", "/name/01", "/id"]
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": POINTERS | JSON_VALUES},
    optional={"from": POINTERS | JSON_VALUES, "value": JSON_VALUES},
)


@given(JSON_VALUES | st.lists(OPERATIONS | JSON_VALUES, max_size=4))
def test_any_json_is_a_patch_or_refused(value):
    start = {"resourceType": "Patient", "id": "a", "name": [{"given": ["b"]}]}
    try:
        made = patch.read(plain.dumps(value).encode()).apply(start)
    except Refused:
        return
    assert isinstance(made, dict)


# FHIRPath


def operation(kind: str, path: str, **parts: Any) -> dict[str, Any]:
    made: list[dict[str, Any]] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    return {"name": "operation", "part": made + [{"name": name, **value} for name, value in parts.items()]}


def patched(start: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    return path_patch.read({"resourceType": "Parameters", "parameter": list(operations)}).apply(start)


OBSERVATION = {
    "resourceType": "Observation", "status": "final", "valueQuantity": {"value": 1, "unit": "g"},
    "component": [{"code": {"text": "a"}, "valueString": "x"}, {"code": {"text": "b"}, "valueInteger": 1}],
    "extension": [{"url": "http://x/1", "valueCode": "c"}, {"url": "http://x/2", "valueCode": "d"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("Observation.status", ["final"]), ("status", ["final"]), ("Observation.value", [{"value": 1, "unit": "g"}]),
        ("Observation.value.ofType(Quantity).unit", ["g"]), ("Observation.value.ofType(string)", []),
        ("Observation.component.value", ["x", 1]), ("Observation.component[1].value", [1]), ("Observation.component.first().value", ["x"]),
        ("Observation.component.last().code.text", ["b"]), ("Observation.component.where(code.text = 'b').value", [1]),
        ("Observation.component.where(code.text='a' or code.text = 'b')[1].code.text", ["b"]),
        ("Observation.component.where(code.where(text = 'a').exists()).code.text", ["a"]),
        ("Observation.extension('http://x/2').value", ["d"]), ("Observation.extension.where(url='http://x/1').value", ["c"]),
        ("Observation.component[7]", []), ("Observation.nothing", []), ("Observation.status.x", []),
        ("Observation.component.where(code.text = ')')", []),
    ],
)  # fmt: skip
def test_a_path_names_these_places(path, values):
    assert [place.value for place in places.find(OBSERVATION, path)] == values


@pytest.mark.parametrize(
    "path",
    ["", ".", "a.", "Observation..status", "Observation.component[", "Observation.component[-1]", "Observation.where(", "a b",
     "Observation.children()", "Observation.component.where(code.text.matches('(a+)+$'))", "x" * 1001, "Observation.where()",
     "Observation.component.where(%resource.status = 'x')", "Observation.component.where(= =)", "Observation.extension(x)"],
)  # fmt: skip
def test_a_path_that_is_not_understood_is_refused(path):
    with pytest.raises(Unprocessable):
        places.find(OBSERVATION, path)


def test_a_choice_is_replaced_by_one_of_another_type():
    made = patched(OBSERVATION, operation("replace", "Observation.value", value={"valueString": "low"}))
    assert "valueQuantity" not in made
    assert made["valueString"] == "low"


def test_a_choice_that_is_there_cannot_be_added_again_under_another_type():
    for value in ({"valueString": "x"}, {"valueQuantity": {"value": 2}}):
        with pytest.raises(Unprocessable) as refused:
            patched(OBSERVATION, operation("add", "Observation", name={"valueString": "value"}, value=value))
        assert refused.value.at == "Parameters.parameter[0]"


def test_what_stands_beside_a_primitive_moves_and_goes_with_it():
    start = {"resourceType": "Patient", "name": [{"given": ["a", "b", "c"], "_given": [None, {"id": "1"}, None]}]}
    gone = patched(start, operation("delete", "Patient.name[0].given[0]"))
    assert gone["name"][0] == {"given": ["b", "c"], "_given": [{"id": "1"}, None]}
    both = {"source": {"valueInteger": 1}, "destination": {"valueInteger": 0}}
    assert patched(start, operation("move", "Patient.name[0].given", **both))["name"][0] == {
        "given": ["b", "a", "c"], "_given": [{"id": "1"}, None, None],
    }  # fmt: skip
    more = {"valueString": "x", "_valueString": {"id": "2"}}
    plain_start = {"resourceType": "Patient", "name": [{"given": ["a"]}]}
    insert = operation("insert", "Patient.name[0].given", index={"valueInteger": 0}, value=more)
    assert patched(plain_start, insert)["name"][0] == {"given": ["x", "a"], "_given": [{"id": "2"}, None]}


def test_what_a_deletion_leaves_empty_goes_too():
    start = {"resourceType": "Patient", "contact": [{"name": {"text": "x"}}], "active": True}
    assert patched(start, operation("delete", "Patient.contact[0].name.text")) == {
        "resourceType": "Patient",
        "active": True,
    }


@pytest.mark.parametrize(
    "parameter",
    [
        7, {}, {"name": "x"}, {"name": "operation"}, {"name": "operation", "part": 3}, {"name": "operation", "part": [3]},
        {"name": "operation", "part": [{"name": "type", "valueCode": "explode"}]}, operation("add", "Patient"),
        operation("add", "Patient", name={"valueString": "active"}, value={}), operation("insert", "Patient.name", value={"valueString": "x"}),
        operation("move", "Patient.name", source={"valueInteger": -1}, destination={"valueInteger": 0}),
        operation("move", "Patient.name", source={"valueBoolean": True}, destination={"valueInteger": 0}),
        operation("add", "Patient", name={"valueInteger": 1}, value={"valueString": "x"}),
        {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}, {"name": "type", "valueCode": "delete"}]},
    ],
)  # fmt: skip
def test_what_is_no_operation_is_refused_with_its_place(parameter):
    with pytest.raises(Incorrect) as refused:
        path_patch.read({"resourceType": "Parameters", "parameter": [parameter]})
    assert refused.value.at == "Parameters.parameter[0]"
