"""What profiles may say, one law a test, on small profiles as an author writes them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.conformance.issue import Severity
from tests.conformance.fixtures import DK_PATIENT, OWN, bad, element, profile, shipped, sliced, with_definitions

NAME = [{"family": "Berg", "given": ["Ida"]}]


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **more}


def identifiers(*systems: str) -> list[dict[str, Any]]:
    return [{"system": f"urn:x:{system}", "value": system} for system in systems]


def test_a_profile_asked_for_that_is_not_known_is_an_error_that_says_so() -> None:
    issues = shipped().check(patient(), ["https://sundbro.example/none"])
    assert [(one.code, one.key) for one in issues if one.severity is Severity.ERROR] == [
        ("not-found", "profile-unknown")
    ]


def test_a_profile_claimed_that_is_not_known_is_a_warning_at_its_place() -> None:
    issues = shipped().check(patient(meta={"profile": ["https://sundbro.example/none"]}))
    assert bad(issues) == []
    assert ("Patient.meta.profile[0]", "profile-unknown", "warning") in [
        (one.at, one.key, one.severity.value) for one in issues
    ]


def test_a_profile_of_another_type_is_an_error() -> None:
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert bad(shipped().check(observation, [DK_PATIENT])) == [("Observation", "profile-type")]


def test_cardinality_fixed_values_patterns_and_limits() -> None:
    checker = with_definitions(
        profile(
            "Patient",
            element("Patient.name", min=1, max="1"),
            element("Patient.active", fixedBoolean=True),
            element("Patient.maritalStatus", patternCodeableConcept={"coding": [{"system": "urn:x:m", "code": "M"}]}),
            element("Patient.birthDate", minValueDate="1900-01-01", maxValueDate="2020-12-31"),
            element("Patient.name.family", maxLength=5),
            element("Patient.photo", max="0"),
        )
    )
    fine = patient(
        name=NAME, active=True, birthDate="1950-02",
        maritalStatus={"text": "gift", "coding": [{"system": "urn:x:m", "code": "M", "display": "x"}]},
    )  # fmt: skip
    assert bad(checker.check(fine, [OWN])) == []
    wrong = patient(
        name=[{"family": "Bergstrøm"}, {"family": "B"}], active=False, birthDate="2021-01-01",
        maritalStatus={"coding": [{"system": "urn:x:m", "code": "S"}]}, photo=[{"url": "https://sundbro.example/p"}],
    )  # fmt: skip
    assert sorted(bad(checker.check(wrong, [OWN]))) == [
        ("Patient.active", "fixed"),
        ("Patient.birthDate", "max-value"),
        ("Patient.maritalStatus", "pattern"),
        ("Patient.name", "max"),
        ("Patient.name[0].family", "max-length"),
        ("Patient.photo", "max"),
    ]
    assert bad(checker.check(patient(active=True), [OWN])) == [("Patient.name", "min")]


def slices(**rule: Any) -> Any:
    return with_definitions(
        profile(
            "Patient",
            sliced("Patient.identifier", ("value", "system"), **rule),
            element("Patient.identifier:a", min=1, max="1"),
            element("Patient.identifier:a.system", min=1, fixedUri="urn:x:a"),
            element("Patient.identifier:b", min=0, max="1"),
            element("Patient.identifier:b.system", min=1, patternUri="urn:x:b"),
            element("Patient.identifier:b.period", min=1),
        )
    )


def test_values_belong_to_slices_by_value_and_each_slice_counts_its_own() -> None:
    assert bad(slices().check(patient(identifier=identifiers("a", "c", "c")), [OWN])) == []
    assert bad(slices().check(patient(identifier=identifiers("c")), [OWN])) == [("Patient.identifier", "min")]
    assert bad(slices().check(patient(identifier=identifiers("a", "a")), [OWN])) == [("Patient.identifier", "max")]
    assert bad(slices().check(patient(identifier=identifiers("a", "b")), [OWN])) == [
        ("Patient.identifier[1].period", "min")
    ]


def test_closed_ordered_and_open_at_the_end() -> None:
    assert bad(slices(rules="closed").check(patient(identifier=identifiers("a", "c")), [OWN])) == [
        ("Patient.identifier[1]", "slicing")
    ]
    assert bad(slices(rules="openAtEnd").check(patient(identifier=identifiers("a", "c")), [OWN])) == []
    assert bad(slices(rules="openAtEnd").check(patient(identifier=identifiers("c", "a")), [OWN])) == [
        ("Patient.identifier[0]", "slicing")
    ]
    both = identifiers("b", "a")
    both[0]["period"] = {"start": "2020"}
    assert bad(slices(ordered=True).check(patient(identifier=both), [OWN])) == [("Patient.identifier[1]", "slicing")]


def test_slices_by_type_and_by_existence() -> None:
    by_type = with_definitions(
        profile(
            "Observation",
            element("Observation.value[x]:valueQuantity", type=[{"code": "Quantity"}]),
            element("Observation.value[x]:valueQuantity.unit", min=1),
        )
    )
    observation: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert bad(by_type.check({**observation, "valueQuantity": {"value": 1}}, [OWN])) == [
        ("Observation.value.unit", "min")
    ]
    assert bad(by_type.check({**observation, "valueString": "x"}, [OWN])) == []
    by_existence = with_definitions(
        profile(
            "Patient",
            sliced("Patient.name", ("exists", "family")),
            element("Patient.name:whole", max="1"),
            element("Patient.name:whole.family", min=1),
            element("Patient.name:given", min=0),
            element("Patient.name:given.family", max="0"),
            element("Patient.name:given.text", min=1),
        )
    )
    assert bad(by_existence.check(patient(name=[{"family": "A"}, {"given": ["B"]}]), [OWN])) == [
        ("Patient.name[1].text", "min")
    ]


def test_slices_of_slices_and_reslices() -> None:
    checker = with_definitions(
        profile(
            "Patient",
            sliced("Patient.contact", ("pattern", "relationship")),
            element("Patient.contact:kin"),
            element("Patient.contact:kin.relationship", patternCodeableConcept={"coding": [{"code": "kin"}]}),
            sliced("Patient.contact:kin.telecom", ("value", "system")),
            element("Patient.contact:kin.telecom:phone", min=1),
            element("Patient.contact:kin.telecom:phone.system", fixedCode="phone"),
            sliced("Patient.contact:kin", ("value", "gender")),
            element("Patient.contact:kin/mother", max="1"),
            element("Patient.contact:kin/mother.gender", min=1, fixedCode="female"),
        )
    )
    kin = {"relationship": [{"coding": [{"system": "urn:x:r", "code": "kin"}]}], "gender": "female"}
    phone = [{"system": "phone", "value": "12"}]
    assert bad(checker.check(patient(contact=[{**kin, "telecom": phone}]), [OWN])) == []
    assert bad(checker.check(patient(contact=[{**kin, "telecom": [{"system": "email", "value": "x"}]}]), [OWN])) == [
        ("Patient.contact[0].telecom", "min")
    ]
    assert bad(checker.check(patient(contact=[{**kin, "telecom": phone}] * 2), [OWN])) == [("Patient.contact", "max")]


def test_references_point_at_the_types_and_profiles_that_are_allowed() -> None:
    target = {"code": "Reference", "targetProfile": [DK_PATIENT]}
    checker = with_definitions(
        profile("Encounter", element("Encounter.subject", min=1, type=[{**target, "aggregation": ["bundled"]}]))
    )
    encounter: dict[str, Any] = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}}
    lone = {**encounter, "subject": {"reference": "Group/1"}}
    assert ("Encounter.subject", "target") in bad(checker.check(lone, [OWN]))
    assert ("Encounter.subject", "aggregation") in bad(checker.check(lone, [OWN]))

    def bundle(subject: dict[str, Any]) -> dict[str, Any]:
        claimed = {**encounter, "meta": {"profile": [OWN]}, "subject": {"reference": "urn:uuid:" + UUID}}
        entries = [
            {"fullUrl": "urn:uuid:" + OTHER, "resource": claimed},
            {"fullUrl": "urn:uuid:" + UUID, "resource": subject},
        ]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    known = {"identifier": [{"use": "official", "system": "urn:oid:1.2.208.176.1.2", "value": "2512489996"}]}
    assert bad(checker.check(bundle(patient(**known, name=[{"use": "official", "family": "Berg"}])))) == []
    twice = patient(**known, name=[{"use": "official", "family": "Berg"}] * 2)  # DK Core: one official name
    assert bad(checker.check(bundle(twice))) == [("Bundle.entry[0].resource.subject", "target")]


UUID = "0a0b0c0d-0a0b-0c0d-0e0f-0a0b0c0d0e0f"
OTHER = "0a0b0c0d-0a0b-0c0d-0e0f-0a0b0c0d0e10"


def test_bindings_by_their_strength_and_what_cannot_be_known_is_a_warning() -> None:
    codes = {"resourceType": "CodeSystem", "url": "urn:x:codes", "content": "complete",
             "concept": [{"code": "a", "concept": [{"code": "aa"}]}, {"code": "b"}]}  # fmt: skip
    under_a = {"resourceType": "ValueSet", "url": "https://sundbro.example/ValueSet/a", "compose": {"include": [
        {"system": "urn:x:codes", "filter": [{"property": "concept", "op": "is-a", "value": "a"}]}]}}  # fmt: skip
    snomed = {"resourceType": "ValueSet", "url": "https://sundbro.example/ValueSet/s", "compose": {"include": [
        {"system": "http://snomed.info/sct", "filter": [{"property": "concept", "op": "is-a", "value": "1"}]}]}}  # fmt: skip

    def issues(strength: str, value_set: str, system: str, code: str) -> list[tuple[str, str]]:
        binding = {"strength": strength, "valueSet": f"https://sundbro.example/ValueSet/{value_set}"}
        checker = with_definitions(
            codes, under_a, snomed, profile("Patient", element("Patient.maritalStatus", binding=binding))
        )
        found = checker.check(patient(maritalStatus={"coding": [{"system": system, "code": code}]}), [OWN])
        return [(one.severity.value, one.code) for one in found if one.key == "binding" and one.source == OWN]

    assert issues("required", "a", "urn:x:codes", "aa") == []
    assert issues("required", "a", "urn:x:codes", "b") == [("error", "code-invalid")]
    assert issues("extensible", "a", "urn:x:codes", "b") == [("warning", "code-invalid")]
    assert issues("required", "s", "http://snomed.info/sct", "2") == [("warning", "not-supported")]
    assert issues("required", "s", "urn:x:codes", "a") == [("error", "code-invalid")]
    assert issues("required", "none", "urn:x:codes", "a") == [("warning", "not-supported")]


def test_invariants_hold_or_are_said_to_be_unchecked_never_silence() -> None:
    def law(expression: str, severity: str = "error") -> dict[str, Any]:
        return element(
            "Patient", constraint=[{"key": "own-1", "severity": severity, "human": "own", "expression": expression}]
        )

    def found(expression: str, severity: str = "error") -> list[tuple[str, str]]:
        checker = with_definitions(profile("Patient", law(expression, severity)))
        issues = checker.check(patient(name=NAME, active=True), [OWN])
        return [(one.severity.value, one.code) for one in issues if one.key == "own-1"]

    assert found("name.exists() and active") == []
    assert found("name.family = 'X'") == [("error", "invariant")]
    assert found("name.empty()", "warning") == [("warning", "invariant")]
    assert found("name.where(given.exists()).select(family).first() = 'Berg' and $this.active") == []
    for impossible in ("name.noSuchFunction()", "name.(", "now() > @2020-01-01", "name.family.matches('(a+)+$')"):
        assert found(impossible) == [("information", "not-supported")], impossible


@pytest.mark.parametrize("url", ["https://sundbro.example/StructureDefinition/unknown"])
def test_an_extension_that_is_not_known_is_said_to_be_so(url: str) -> None:
    issues = shipped().check(patient(extension=[{"url": url, "valueString": "x"}]))
    assert [(one.at, one.severity.value) for one in issues if one.key == "extension-unknown"] == [
        ("Patient.extension[0]", "information")
    ]


def test_an_extension_is_held_to_its_definition_and_to_where_it_may_stand() -> None:
    own = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
    assert bad(shipped().check(patient(extension=[{"url": own, "valueAddress": {"city": "Odense"}}]))) == []
    assert bad(shipped().check(patient(extension=[{"url": own, "valueString": "Odense"}]))) == [
        ("Patient.extension[0].value", "type")
    ]
    observation: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    elsewhere = {**observation, "extension": [{"url": own, "valueAddress": {"city": "Odense"}}]}
    assert bad(shipped().check(elsewhere)) == [("Observation.extension[0]", "ext-context")]


def test_vital_signs_must_conform_to_the_profile_of_r4_itself() -> None:
    code = {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}
    weight: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": code}
    assert {("Observation.category", "min"), ("Observation.subject", "min")} <= set(bad(shipped().check(weight)))
