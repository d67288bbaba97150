"""What validation says: the place in FHIR's notation, the issue type, and never the value."""

from __future__ import annotations

import copy
import re
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.fhir import invariants, primitives, whole
from gateway.fhir.issue import ISSUE_TYPES
from gateway.fhir.validate import validate

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
PRESSURE = {
    "resourceType": "Observation",
    "id": "bp",
    "status": "final",
    "code": {"coding": [{"system": LOINC, "code": "85354-9"}]},
    "subject": {"reference": "Patient/p"},
    "effectiveDateTime": "2026-10-25T02:30:00+01:00",
    "component": [
        {
            "code": {"coding": [{"system": LOINC, "code": code}]},
            "valueQuantity": {"value": Decimal("120.50"), "system": UCUM, "code": "mm[Hg]", "unit": "mmHg"},
        }
        for code in ("8480-6", "8462-4", "8478-0")
    ],
}
ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


def changed(path, value):
    """Return PRESSURE with something put in a place (or taken from it: `...`)."""
    made = copy.deepcopy(PRESSURE)
    holder = made
    for step in path[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return made


def test_a_valid_resource_has_no_issues_and_is_left_alone():
    before = copy.deepcopy(PRESSURE)
    assert validate(PRESSURE) == []
    assert before == PRESSURE


@pytest.mark.parametrize(
    ("path", "value", "where", "rule"),
    [
        (("status",), ..., "Observation.status", "required"),
        (("status",), "Final", "Observation.status", "code"),
        (("status",), 1, "Observation.status", "type"),
        (("status",), "", "Observation.status", "empty"),
        (("status",), ["final"], "Observation.status", "type"),
        (("code",), None, "Observation.code", "null"),
        (("code",), [], "Observation.code", "type"),
        (("code",), {}, "Observation.code", "empty"),
        (("code", "coding"), [], "Observation.code.coding", "empty"),
        (("code", "coding"), {"code": "x"}, "Observation.code.coding", "type"),
        (("code", "coding", 0, "code"), " x", "Observation.code.coding[0].code", "format"),
        (("code", "coding", 0, "system"), "http://a b", "Observation.code.coding[0].system", "format"),
        (("code", "coding", 0, "userSelected"), "true", "Observation.code.coding[0].userSelected", "type"),
        (("codes",), {"text": "x"}, "Observation.codes", "unknown-element"),
        (("2512489996",), "x", "Observation.?", "unknown-element"),
        (("component", 2, "valueQuantity", "code"), 7, "Observation.component[2].valueQuantity.code", "type"),
        (("component", 1, "valueQuantity", "value"), 120.5, "Observation.component[1].valueQuantity.value", "type"),
        (("component", 1, "valueQuantity", "value"), "1", "Observation.component[1].valueQuantity.value", "type"),
        (("component", 1, "valueQuantity", "value"), True, "Observation.component[1].valueQuantity.value", "type"),
        (("component", 1, "valueQuantity", "value"), Decimal("NaN"), "Observation.component[1].valueQuantity.value", "type"),
        (("component", 1, "valueQuantity", "system"), ..., "Observation.component[1].valueQuantity.system", "qty-3"),
        (("component", 0, "valueString"), "x", "Observation.component[0].value", "choice"),
        (("component", 0, "_valueString"), ABSENT, "Observation.component[0].value", "choice"),
        (("component", 0), {}, "Observation.component[0].code", "required"),
        (("effectiveDateTime",), "2026-02-29", "Observation.effectiveDateTime", "format"),
        (("effectiveDateTime",), "2026-10-25T02:30:00", "Observation.effectiveDateTime", "format"),
        (("effectivePeriod",), {"start": "2026"}, "Observation.effective", "choice"),
        (("issued",), "2026-10-25", "Observation.issued", "format"),
        (("subject", "reference"), "#p", "Observation.subject.reference", "ref-1"),
        (("contained",), [{"resourceType": "Patient", "id": "p"}], "Observation.contained[0]", "dom-3"),
        (("contained",), [{"resourceType": "Patient", "gender": "x"}], "Observation.contained[0].gender", "code"),
        (("contained",), [{"resourceType": "Citation"}], "Observation.contained[0].resourceType", "resource-type"),
        (("contained",), [{"id": "p"}], "Observation.contained[0].resourceType", "resource-type"),
        (("contained",), ["x"], "Observation.contained[0].resourceType", "resource-type"),
        (("dataAbsentReason",), {"text": "x"}, "Observation.dataAbsentReason", None),
        (("method",), {"text": "a\x07b"}, "Observation.method.text", "characters"),
        (("method",), {"text": "\ud800"}, "Observation.method.text", "characters"),
        (("note",), [{"text": "x", "authorString": "y", "time": "now"}], "Observation.note[0].time", "format"),
        (("extension",), [{"url": "http://x"}], "Observation.extension[0]", "ext-1"),
        (("extension",), [{"url": "http://x", "valueCode": "a", "valueString": "b"}], "Observation.extension[0].value", "choice"),
        (("extension",), [{"valueCode": "a", "_url": ABSENT}], "Observation.extension[0].url", "required"),
        (("_issued",), {"extension": [{"valueCode": "a"}]}, "Observation._issued.extension[0].url", "required"),
        (("_code",), ABSENT, "Observation._code", "unknown-element"),
        (("_status",), {}, "Observation._status", "empty"),
    ],
)  # fmt: skip
def test_an_issue_names_the_element(path, value, where, rule):
    issues = validate(changed(path, value))
    if rule is None:
        assert issues == []
        return
    assert (where, rule) in {(issue.path, issue.rule) for issue in issues}
    for issue in issues:
        assert issue.code == ISSUE_TYPES.get(issue.rule, "invariant")
        assert issue.text
        assert "2512489996" not in str(issue)


@pytest.mark.parametrize("resource", [None, [], "x", {}, {"resourceType": 1}, {"resourceType": "Observation.component"}, {"resourceType": "Quantity"}])  # fmt: skip
def test_what_is_no_resource_is_told_so(resource):
    assert [issue.rule for issue in validate(resource)] == ["resource-type"]


def test_every_fault_is_told_at_once():
    damaged = changed(("status",), ...)
    damaged["component"][0]["valueQuantity"]["value"] = "1"
    damaged["unknown"] = 1
    assert {issue.path for issue in validate(damaged)} == {
        "Observation.status", "Observation.component[0].valueQuantity.value", "Observation.unknown",
    }  # fmt: skip


def test_an_extension_stands_in_for_a_required_primitive():
    without = changed(("status",), ...)
    assert [issue.path for issue in validate(without)] == ["Observation.status"]
    assert validate({**without, "_status": ABSENT}) == []
    assert [issue.path for issue in validate({**without, "_status": {"id": "x"}})] == ["Observation.status"]
    # The laws of the object still hold: obs-6 beside an excused status.
    both = {**without, "_status": ABSENT, "valueInteger": 1, "dataAbsentReason": {"text": "x"}}
    assert [issue.rule for issue in validate(both)] == ["obs-6"]


def test_a_null_keeps_the_place_of_a_value_that_has_an_extension():
    name = {"given": [None, "B"], "_given": [ABSENT, None]}
    assert validate({"resourceType": "Patient", "name": [name]}) == []
    wrong = {"resourceType": "Patient", "name": [{"given": ["A", None], "_given": [ABSENT, None]}]}
    assert [(issue.path, issue.rule) for issue in validate(wrong)] == [("Patient.name[0].given[1]", "null")]
    assert [issue.path for issue in validate({"resourceType": "Patient", "name": [{"given": [None]}]})] == [
        "Patient.name[0].given[0]"
    ]


@pytest.mark.parametrize(
    "name", [{"given": ["A"], "_given": [None, None]}, {"family": "A", "_given": [None]}, {"_given": [ABSENT, None]}]
)
def test_a_place_with_neither_a_value_nor_an_extension_is_none(name):
    told = [(issue.path, issue.rule) for issue in validate({"resourceType": "Patient", "name": [name]})]
    assert told == [("Patient.name[0]._given", "empty")]


def test_resources_in_a_bundle_are_validated_where_they_stand():
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "POST", "url": "Observation"}, "resource": changed(("status",), "x")}, {}],
    }
    assert [(issue.path, issue.rule) for issue in validate(bundle)] == [
        ("Bundle.entry[0].resource.status", "code"), ("Bundle.entry[1]", "bdl-5"),
    ]  # fmt: skip
    bundle["entry"] = [{"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient"}}]
    assert [issue.rule for issue in validate(bundle)] == ["bdl-3"]


def test_extensions_nest_as_deep_as_json_may():
    extension = {"url": "http://x", "valueInteger": 1}
    for _ in range(28):
        extension = {"url": "http://x", "extension": [extension]}
    patient = {"resourceType": "Patient", "extension": [extension]}
    assert validate(patient) == []


def test_what_contains_itself_is_refused():
    patient = {"resourceType": "Patient", "contact": [{"name": {"text": "x"}}]}
    patient["contact"][0]["extension"] = [patient["contact"][0]]
    assert validate(patient)


BROKEN = [
    ("age-1", "Condition", {"subject": {"display": "x"}, "onsetAge": {"value": 3}}, "onsetAge.code"),
    ("ait-1", "AllergyIntolerance", {"patient": {"display": "x"}}, "clinicalStatus"),
    ("app-3", "Appointment", {"status": "booked", "participant": [{"status": "accepted", "actor": {"display": "x"}}]}, "start"),
    ("att-1", "Patient", {"photo": [{"data": "YQ=="}]}, "photo[0].contentType"),
    ("bdl-1", "Bundle", {"type": "batch", "total": 1}, "total"),
    ("bdl-7", "Bundle", {"type": "collection", "entry": [{"fullUrl": "urn:x", "resource": {"resourceType": "Patient"}}] * 2}, "entry"),
    ("bdl-12", "Bundle", {"type": "message", "entry": [{"resource": {"resourceType": "Patient"}}]}, "entry"),
    ("con-4", "Condition", {"subject": {"display": "x"}, "abatementDateTime": "2026"}, "clinicalStatus"),
    ("cpt-2", "Patient", {"telecom": [{"value": "x"}]}, "telecom[0].system"),
    ("dom-2", "Patient", {"managingOrganization": {"reference": "#o"}, "contained": [{"resourceType": "Organization", "id": "o", "name": "x", "contained": [{"resourceType": "Patient"}]}]}, "contained[0].contained"),
    ("dom-4", "Patient", {"managingOrganization": {"reference": "#o"}, "contained": [{"resourceType": "Organization", "id": "o", "name": "x", "meta": {"versionId": "1"}}]}, "contained[0].meta"),
    ("obs-3", "Observation", {"status": "final", "code": {"text": "x"}, "referenceRange": [{"appliesTo": [{"text": "x"}]}]}, "referenceRange[0]"),
    ("obs-7", "Observation", {"status": "final", "code": {"coding": [{"code": "x"}]}, "valueInteger": 1, "component": [{"code": {"coding": [{"code": "x"}]}}]}, "component"),
    ("org-1", "Organization", {"active": True}, ""),
    ("org-3", "Organization", {"name": "x", "telecom": [{"use": "home"}]}, "telecom"),
    ("pat-1", "Patient", {"contact": [{"gender": "male"}]}, "contact[0]"),
    ("per-1", "Patient", {"name": [{"period": {"start": "2026-10-25T03:00:00+02:00", "end": "2026-10-25T02:30:00+01:00", "id": "ok"}}]}, None),
    ("per-1", "Patient", {"name": [{"period": {"start": "2026-10-25T03:00:00+01:00", "end": "2026-10-25T03:30:00+02:00"}}]}, "name[0].period"),
    ("per-1", "Patient", {"name": [{"period": {"start": "2027", "end": "2026"}}]}, "name[0].period"),
    ("per-1", "Patient", {"name": [{"period": {"start": "2026-06", "end": "2026"}}]}, None),
    ("rng-2", "Observation", {"status": "final", "code": {"text": "x"}, "valueRange": {"low": {"value": 2}, "high": {"value": Decimal("1.5")}}}, "valueRange"),
    ("tim-1", "ServiceRequest", {"status": "active", "intent": "order", "subject": {"display": "x"}, "occurrenceTiming": {"repeat": {"duration": 1}}}, "occurrenceTiming.repeat.durationUnit"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "resource_type", "content", "where"), BROKEN)
def test_an_invariant_is_told_by_its_key(rule, resource_type, content, where):
    issues = [(issue.path, issue.rule) for issue in validate({"resourceType": resource_type, **content})]
    assert issues == ([] if where is None else [(f"{resource_type}.{where}".rstrip("."), rule)])


def test_a_required_concept_needs_one_of_its_codes():
    condition = {"resourceType": "Condition", "subject": {"display": "x"}, "clinicalStatus": {"text": "active"}}
    assert [(issue.path, issue.rule) for issue in validate(condition)] == [("Condition.clinicalStatus", "code")]
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    condition["clinicalStatus"]["coding"] = [{"system": "urn:x", "code": "y"}, {"system": system, "code": "active"}]
    assert validate(condition) == []


def test_the_reference_lists_every_invariant_that_is_checked():
    text = (Path(__file__).parents[2] / "docs" / "reference" / "validation.md").read_text("utf-8")
    listed = text.partition("## Invariants that are checked")[2].partition("## Invariants that are not")[0]
    checked = "".join(Path(module.__file__).read_text("utf-8") for module in (invariants, primitives, whole))
    keys = {*re.findall(r'"([a-z]{3}-[0-9]+)"', checked)}
    assert keys == {*re.findall(r"`([a-z]{3}-[0-9]+)`", listed)}
    assert len(keys) > 70
