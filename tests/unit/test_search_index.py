"""What a resource is found by, on small cases by hand; test_search_law.py has the R4 examples."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from gateway.search import parameters, query
from gateway.search.index import extract
from gateway.search.query import Measure, reference, token

LOINC = "http://loinc.org"
NPU = "urn:oid:1.2.208.176.2.1"


def observation(**more):
    return {
        "resourceType": "Observation", "id": "o", "status": "final", "code": {"coding": [{"system": NPU, "code": "DNK05472"}, {"system": LOINC, "code": "8480-6"}]},
        "subject": {"reference": "Patient/p"}, "effectiveDateTime": "2026-11-22T09:00:00+01:00", "valueQuantity": {"value": Decimal("120.0")}, **more,
    }  # fmt: skip


def test_patient_code_and_main_date_have_their_columns():
    index = extract(observation())
    assert index.patient == reference("patient", "Patient/p")
    assert index.code == token("code", None, "8480-6")  # LOINC before the first
    assert index.date_low == dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC)
    assert index.date_high == dt.datetime(2026, 11, 22, 8, 0, 1, tzinfo=dt.UTC)
    assert index.dates == []
    assert set(index.tokens) == {
        token("status", None, "final"), token("code", LOINC, "8480-6"), token("code", NPU, "DNK05472"), token("code", None, "DNK05472"),
        token("code", LOINC, ""), token("code", NPU, ""),
    }  # fmt: skip
    assert index.measures == [Measure("value-quantity", Decimal("120.0"), Decimal("120.0"))]


def test_the_only_coding_is_the_preferred_one():
    index = extract(observation(code={"coding": [{"code": "a"}]}))
    assert index.code == token("code", None, "a")
    assert token("code", "", "a") in index.tokens


def test_a_code_without_codings_has_no_column():
    assert extract(observation(code={"text": "blood pressure"})).code is None


def test_a_patient_is_about_itself():
    assert extract({"resourceType": "Patient", "id": "p"}).patient == reference("patient", "Patient/p")


def test_references():
    index = extract(
        observation(
            subject={"reference": "Group/g"},
            performer=[
                {"reference": "Practitioner/a/_history/3"},
                {"reference": "#contained"},
                {"identifier": {"value": "x"}},
            ],
            device={"reference": "https://other.example/fhir/Device/d"},
            encounter={"reference": "urn:uuid:1"},
        )
    )
    assert index.patient is None
    assert {
        reference("subject", "Group/g"), reference("performer", "Practitioner/a"),
        reference("device", "https://other.example/fhir/Device/d"), reference("encounter", "urn:uuid:1"),
    } <= set(index.tokens)  # fmt: skip


def test_several_patients_the_first_in_the_column():
    index = extract(
        {
            "resourceType": "Appointment",
            "participant": [
                {"actor": {"reference": f"{kind}/{n}"}} for kind, n in (("Location", 1), ("Patient", 2), ("Patient", 3))
            ],
        }
    )
    assert index.patient == reference("patient", "Patient/2")
    assert reference("patient", "Patient/3") in index.tokens
    assert reference("location", "Location/1") in index.tokens
    assert reference("actor", "Location/1") in index.tokens


def test_filters_on_the_way():
    telecom = [{"system": "phone", "value": "1"}, {"system": "email", "value": "a@example.org"}]
    tokens = set(extract({"resourceType": "Patient", "telecom": telecom}).tokens)
    assert token("phone", None, "1") in tokens
    assert token("email", None, "a@example.org") in tokens
    assert token("telecom", "email", "a@example.org") in tokens
    assert token("phone", None, "a@example.org") not in tokens


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "false"),
        ({"deceasedBoolean": False}, "false"),
        ({"deceasedBoolean": True}, "true"),
        ({"deceasedDateTime": "2020"}, "true"),
    ],
)
def test_deceased_is_stated_or_not(given, expected):
    assert token("deceased", None, expected) in extract({"resourceType": "Patient", **given}).tokens


def test_meta_is_found_by():
    meta = {
        "profile": ["http://p|1"],
        "tag": [{"system": "s", "code": "t"}],
        "source": "urn:x",
        "security": [{"code": "R"}],
    }
    tokens = set(extract({"resourceType": "Basic", "meta": meta}).tokens)
    assert {
        token("_profile", None, "http://p|1"), token("_tag", "s", "t"), token("_source", None, "urn:x"), token("_security", "", "R"),
    } <= tokens  # fmt: skip


def present(index, kind):
    return {parameter.name for parameter in parameters.of(kind).all() if index.present >> parameter.bit & 1}


def test_presence_is_a_bit_for_each_parameter_with_a_value():
    index = extract(observation(component=[{"code": {"text": "x"}, "valueQuantity": {"unit": "mmHg"}}]))
    assert present(index, "Observation") == {
        "status", "code", "combo-code", "component-code", "subject", "patient", "date", "value-quantity", "combo-value-quantity",
        "component-value-quantity",
    }  # fmt: skip
    assert present(extract({"resourceType": "Patient"}), "Patient") == set()
    assert "deceased" in present(extract({"resourceType": "Patient", "deceasedBoolean": False}), "Patient")
    assert present(extract(observation(subject={"reference": "Group/g"})), "Observation").isdisjoint({"patient"})
    assert "patient" in present(extract(observation(subject={"identifier": {"value": "x"}})), "Observation")


def test_bits_are_distinct_and_fit_a_signed_number():
    for kind in parameters.types():
        bits = [parameter.bit for parameter in parameters.of(kind).all()]
        assert bits == list(range(len(bits)))
        assert len(bits) <= 63


def test_every_part_of_a_name_and_an_address_is_kept_folded_and_as_written():
    name = {"family": "Ågård", "given": ["Bo", "Ib"], "prefix": ["dr."], "text": "Bo  Ib Ågård"}
    strings = extract(
        {"resourceType": "Patient", "name": [name], "address": [{"line": ["Vej 1"], "city": "Ærø"}]}
    ).strings
    assert {
        ("name", "agard", "Ågård"),
        ("name", "ib", "Ib"),
        ("name", "dr.", "dr."),
        ("name", "bo ib agard", "Bo  Ib Ågård"),
    } <= {*strings}
    assert {
        ("family", "agard", "Ågård"),
        ("given", "bo", "Bo"),
        ("address", "vej 1", "Vej 1"),
        ("address-city", "ærø", "Ærø"),
    } <= {*strings}
    assert not [kept for kept in strings if kept[0] == "phonetic"]  # it is asked for as `name`


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ({"value": 5}, 5, 5), ({"value": Decimal("5.0"), "comparator": "<"}, None, 5), ({"value": 5, "comparator": ">="}, 5, None),
        ({"value": 5, "comparator": "<="}, None, 5), ({"value": 5, "comparator": ">"}, 5, None),
    ],
)  # fmt: skip
def test_a_comparator_leaves_one_side_open(value, low, high):
    (measure,) = extract(observation(valueQuantity={**value, "system": "s", "code": "c", "unit": "u"})).measures
    assert measure == ("value-quantity", low, high, "s", "c", "u")


def test_ranges_money_and_numbers():
    (measure,) = extract({"resourceType": "Invoice", "totalGross": {"value": 12, "currency": "DKK"}}).measures
    assert measure == ("totalgross", 12, 12, "urn:iso:std:iso:4217", "DKK", "")
    (measure,) = extract(
        {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": Decimal("0.3")}]}
    ).measures
    assert measure[:3] == ("probability", Decimal("0.3"), Decimal("0.3"))
    context = {"code": {"code": "age"}, "valueRange": {"low": {"value": 3, "unit": "a"}}}
    (measure,) = extract({"resourceType": "Measure", "useContext": [context]}).measures
    assert measure == ("context-quantity", 3, None, "", "", "a")


def test_a_number_that_no_database_holds_is_left_out():
    for value in (Decimal("1E+500"), Decimal("NaN"), Decimal("-Infinity"), "5", True, None):
        assert extract(observation(valueQuantity={"value": value})).measures == []


def test_identifiers_by_type_and_references_by_identifier():
    typed = {"system": "s", "value": "1", "type": {"coding": [{"system": "t", "code": "MR"}]}}
    tokens = extract({"resourceType": "Patient", "identifier": [typed]}).tokens
    assert {token("identifier:of-type", "t|MR", "1"), token("identifier", "s", "")} <= {*tokens}
    logical = {"identifier": {"system": "s", "value": "1"}}
    index = extract(observation(subject={**logical, "type": "Group"}, performer=[logical]))
    assert {token("subject:identifier", "s", "1"), token("performer:identifier", None, "1")} <= {*index.tokens}
    assert token("patient:identifier", "s", "1") not in index.tokens
    assert token("patient:identifier", "s", "1") in extract(observation(subject=logical)).tokens


def test_a_reference_is_joined_by_what_the_target_is_called():
    own, by = query.own("Group/g"), query.reference_parameter("subject")
    assert own ^ by in extract(observation(subject={"reference": "Group/g"})).tokens
    assert all(-(2**63) <= number < 2**63 for number in (own, by, own ^ by))


@pytest.mark.parametrize(
    "odd",
    [None, 1, "x", [], [None], {}, {"coding": None}, {"coding": [None, 1, {"code": 5}]}, [["x"]], True, Decimal(1)],
)
@pytest.mark.parametrize(
    "name",
    [
        "code",
        "subject",
        "performer",
        "effectiveDateTime",
        "effectivePeriod",
        "effectiveTiming",
        "component",
        "status",
        "meta",
        "identifier",
        "valueQuantity",
        "valueString",
    ],
)
def test_an_element_of_another_shape_is_left_out_not_a_crash(name, odd):
    extract(observation(**{name: odd}))


def test_a_type_that_r4_does_not_have():
    with pytest.raises(KeyError):
        extract({"resourceType": "Cat"})


def test_every_path_of_the_table_has_a_reader_or_is_known_to_have_none():
    from gateway.search.leaves import emitter

    without = {
        (parameter.kind.value, place.type)
        for kind in parameters.types()
        for parameter in parameters.of(kind).stored()
        for place in parameter.paths
        if place.type != "Truth" and emitter(parameter, place, main=False) is None
    }
    # strings, ages and ranges beside a date, a file beside a reference, samples beside an amount: R4's expressions name
    # them, no question can
    assert without == {
        ("date", "string"), ("date", "Age"), ("date", "Range"), ("reference", "Attachment"), ("quantity", "SampledData"),
    }  # fmt: skip


def test_every_main_date_stands_in_one_place():
    for kind in parameters.types():
        known = parameters.of(kind)
        if known.main_date:
            stems = {
                "".join(c for c in place.steps[0].name if c.islower())[:5] for place in known.get(known.main_date).paths
            }
            assert len(stems) == 1, (kind, stems)
