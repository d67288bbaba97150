"""What a resource is found by: on small cases by hand, on the R4 examples by law (the index agrees with `match`)."""

from __future__ import annotations

import datetime as dt
import functools
import json
from decimal import Decimal

import pytest

from gateway.search import match, parameters, parse, times
from gateway.search.index import extract
from gateway.search.query import DateTerm, Index, Query, reference, token
from tests.corpus import corpus_folder

LOINC = "http://loinc.org"
NPU = "urn:oid:1.2.208.176.2.1"


def found(index: Index, query: Query) -> bool:
    """Say whether an index holds what a query's terms ask for: the store's condition, in Python."""
    held = {*index.tokens, index.patient, index.code}
    main = parameters.of(query.type).main_date
    for term in query.terms:
        if isinstance(term, DateTerm):
            own = [(index.date_low, index.date_high)] if term.parameter == main and index.date_low else []
            others = [(low, high) for name, low, high in index.dates if name == term.parameter]
            if not any(
                times.compare(prefix, value, (low, high)) for value in own + others for prefix, low, high in term.values
            ):
                return False
        elif held.isdisjoint(term.values):
            return False
    return True


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
    }  # fmt: skip


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
    ],
)
def test_an_element_of_another_shape_is_left_out_not_a_crash(name, odd):
    extract(observation(**{name: odd}))


def test_a_type_that_r4_does_not_have():
    with pytest.raises(KeyError):
        extract({"resourceType": "Cat"})


@functools.cache
def examples():
    files = sorted(corpus_folder("fhir-r4-examples").glob("*.json"))
    found = [json.loads(path.read_bytes(), parse_float=Decimal) for path in files]
    return [resource for resource in found if resource.get("resourceType") in parameters.types()]


def questions(resource):
    """Every value of every parameter as a question in each of its forms, and some that miss."""
    kind = resource["resourceType"]
    for parameter in parameters.of(kind).all():
        if not parameter.supported or parameter.name in {"_id", "_lastUpdated"}:
            continue
        texts = {"nothing-like-it", "true", "Patient/example", "2015"}
        for place, value in match._values(parameter, resource):
            for system, code in (
                match._codes(value, place.type) if parameter.kind is not parameters.Kind.REFERENCE else ()
            ):
                plain = escape(code)
                texts |= {plain, f"|{plain}", f"http://other|{plain}"} | (
                    {f"{escape(system)}|{plain}"} if system else set()
                )
            if parameter.kind is parameters.Kind.REFERENCE:
                targets = match._targets(value, place)
                texts |= {*targets, *(target.rsplit("/")[-1] for target in targets)}
            if interval := match._interval(value, place.type):
                low, high = interval
                texts |= {
                    f"{prefix}{moment:%Y-%m-%d}" for prefix in ("", "gt", "le", "sa", "ne") for moment in (low, high)
                }
        for text in sorted(texts):
            yield parameter.name, text


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace(",", "\\,")


@pytest.mark.corpus
def test_every_r4_example_is_found_by_exactly_what_match_says():
    hits = misses = 0
    resources = examples()
    assert len(resources) > 500
    for resource in resources:
        index = extract(resource)
        for name, text in questions(resource):
            try:
                query = parse.parse(resource["resourceType"], [(name, text)])
            except parse.Incorrect:
                continue
            expected = match.match(query, resource)
            assert found(index, query) is expected, (resource["resourceType"], resource.get("id"), name)
            hits, misses = hits + expected, misses + (not expected)
    assert hits > 8_000, hits
    assert misses > 8_000, misses


def test_every_path_of_the_table_has_a_reader_or_is_known_to_have_none():
    from gateway.search.leaves import emitter

    without = {
        (parameter.kind.value, place.type)
        for kind in parameters.types()
        for parameter in parameters.of(kind).stored()
        for place in parameter.paths
        if place.type != "Truth" and emitter(parameter, place, main=False) is None
    }
    # strings, ages and ranges beside a date, and a file beside a reference: R4's expressions name them, no question can
    assert without == {("date", "string"), ("date", "Age"), ("date", "Range"), ("reference", "Attachment")}


def test_every_main_date_stands_in_one_place():
    for kind in parameters.types():
        known = parameters.of(kind)
        if known.main_date:
            stems = {
                "".join(c for c in place.steps[0].name if c.islower())[:5] for place in known.get(known.main_date).paths
            }
            assert len(stems) == 1, (kind, stems)
