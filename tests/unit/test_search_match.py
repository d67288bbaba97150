"""`match` on cases by hand: composites within one element, chains, `_has`, texts, filters, and what results are sorted by."""

import datetime as dt
from decimal import Decimal

import pytest

from gateway.search import parse
from gateway.search.match import match, references, sort_key

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
UCUM = "http://unitsofmeasure.org"


def quantity(value, code="mm[Hg]"):
    return {"value": Decimal(value), "unit": code, "system": UCUM, "code": code}


def code(text):
    return {
        "coding": [{"system": "http://loinc.org", "code": text, "display": f"Display of {text}"}],
        "text": f"Text of {text}",
    }


PRESSURE = {
    "resourceType": "Observation", "id": "bp", "meta": {"lastUpdated": "2025-05-05T00:00:00Z"}, "status": "final", "code": code("85354-9"),
    "subject": {"reference": "Patient/nancy", "display": "Nancy Ann"}, "encounter": {"reference": "Encounter/e"}, "effectiveDateTime": "2025-05-05",
    "component": [{"code": code("8480-6"), "valueQuantity": quantity(140)}, {"code": code("8462-4"), "valueQuantity": quantity(85)}],
    "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>Forh&oslash;jet <b>blod</b>tryk</div>"},
}  # fmt: skip
NANCY = {
    "resourceType": "Patient", "id": "nancy", "name": [{"family": "Berggren", "given": ["Nancy", "Ann"]}, {"family": "Å"}], "gender": "female",
    "birthDate": "1948-12-25", "managingOrganization": {"reference": "Organization/o"},
}  # fmt: skip
BRUNO = {"resourceType": "Patient", "id": "bruno", "name": [{"family": "Elmer"}], "gender": "male"}
ORGANIZATION = {"resourceType": "Organization", "id": "o", "name": "Aarhus"}
ENCOUNTER = {"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/nancy"}, "status": "finished"}
LIST = {"resourceType": "List", "id": "l", "entry": [{"item": {"reference": "Patient/nancy"}}]}
EVERYTHING = [PRESSURE, NANCY, BRUNO, ORGANIZATION, ENCOUNTER, LIST]


def find(kind):
    return [resource for resource in EVERYTHING if resource["resourceType"] == kind]


def found(kind, *pairs):
    query = parse.understand(kind, [pair.split("=", 1) for pair in pairs], now=NOW).query
    return [resource["id"] for resource in find(kind) if match(query, resource, find)]


@pytest.mark.parametrize(
    ("question", "yes"),
    [
        ("component-code-value-quantity=8480-6$gt120", True), ("component-code-value-quantity=8462-4$gt120", False), ("combo-code-value-quantity=8480-6$140", True),
        ("combo-code-value-quantity=8462-4$140", False), ("component-code-value-quantity=8462-4$gt120,8480-6$140", True), ("code-value-quantity=85354-9$140", False),
        (f"component-code-value-quantity=8480-6$18.7|{UCUM}|kPa", True), (f"combo-value-quantity=lt11.5|{UCUM}|kPa", True), (f"value-quantity=lt11.5|{UCUM}|kPa", False),
        ("code:text=text of 8", True), ("code:text=display", True), ("code:text=isplay", False), ("subject:text=ann", True), ("_text=forhøjet blod", True), ("_text=div", False),
        ("_content=nancy", True), ("_content=Text of 8480-6", True), ("_content=nowhere", False), ("code:not=85354-9", False), ("value-quantity:missing=true", True),
        ("_filter=code eq loinc|85354-9 and not (status eq amended)", True), ("_filter=component-code eq 8480-6 and value-quantity pr true", False),
        ("_filter=patient[gender eq female].family sw berg", True), ("_filter=patient[gender eq male].family sw berg", False), ("_lastUpdated=2025-05-05", True),
        ("_lastUpdated:missing=true", False), ("_id:missing=false", True), ("subject:Patient.name=nancy", True), ("subject.name=elmer", False), ("patient.gender=female", True),
        ("encounter.patient.organization.name=aar", True), ("encounter.patient.organization.name:exact=aarhus", False), ("encounter.status=finished", True),
        ("date=ge2025-05", True), ("_id=bp,x", True), ("component-value-quantity=eb100", True),
    ],
)  # fmt: skip
def test_one_blood_pressure(question, yes):
    assert found("Observation", question) == (["bp"] if yes else [])


@pytest.mark.parametrize(
    ("question", "ids"),
    [
        ("_has:Observation:patient:code=85354-9", ["nancy"]), ("_has:Observation:patient:code=x", []), ("_has:Observation:subject:combo-code=8480-6", ["nancy"]),
        ("_has:Encounter:patient:_has:Observation:encounter:status=final", ["nancy"]), ("_list=l", ["nancy"]), ("_list=x", []), ("name=ANN", ["nancy"]), ("family=a", ["nancy"]),
        ("name:exact=Ann", ["nancy"]), ("name:contains=ergg", ["nancy"]), ("gender:not=male", ["nancy"]), ("birthdate:missing=true", ["bruno"]), ("organization:missing=false", ["nancy"]),
        ("_filter=family eq elmer or gender eq female", ["nancy", "bruno"]), ("_filter=family ne elmer", ["nancy"]), ("deceased=false", ["nancy", "bruno"]), ("deceased:missing=true", ["nancy", "bruno"]),
    ],
)  # fmt: skip
def test_two_patients(question, ids):
    assert found("Patient", question) == ids


def test_a_chain_needs_the_other_resources():
    query = parse.parse("Observation", [("subject:Patient.name", "x")])
    with pytest.raises(ValueError, match="other resources"):
        match(query, PRESSURE)


def test_near_is_a_circle_on_the_earth():
    aarhus = {
        "resourceType": "Location",
        "id": "a",
        "position": {"latitude": Decimal("56.1567"), "longitude": Decimal("10.2108")},
    }
    copenhagen = "55.6761|12.5683"
    for reach, yes in ((150, False), (160, True)):  # they are 157 km apart
        assert match(parse.parse("Location", [("near", f"{copenhagen}|{reach}|km")]), aarhus) is yes
    assert not match(parse.parse("Location", [("near", copenhagen)]), {"resourceType": "Location", "id": "b"})
    across = {**aarhus, "position": {"latitude": 0, "longitude": Decimal("179.99")}}
    assert match(parse.parse("Location", [("near", "0|-179.99|5|km")]), across)


def test_references_that_an_include_follows():
    assert references(PRESSURE, "subject") == ["Patient/nancy"]
    assert references(PRESSURE, "*") == ["Encounter/e", "Patient/nancy"]
    assert references(PRESSURE, "code") == references(PRESSURE, "colour") == []
    assert references({"resourceType": "Observation", "subject": {"reference": "Group/g"}}, "patient") == []


def test_what_results_are_sorted_by():
    assert sort_key(NANCY, "family") == "a"  # of several the one that comes first
    assert sort_key(NANCY, "family", descending=True) == "berggren"
    assert sort_key(NANCY, "birthdate") == dt.datetime(1948, 12, 24, 23, tzinfo=dt.UTC)
    assert sort_key(PRESSURE, "component-value-quantity") == 85
    assert sort_key(PRESSURE, "component-value-quantity", descending=True) == 140
    assert sort_key(BRUNO, "birthdate") is None
    assert sort_key(NANCY, "_id") == "nancy"
    assert sort_key(NANCY, "gender") == "\x1ffemale"
    assert sort_key(NANCY, "deceased") == "\x1ffalse"
    assert sort_key(PRESSURE, "subject") == "Patient/nancy"
    two = [{"system": "urn:b", "code": "1"}, {"system": "urn:a", "code": "9"}, {"code": "z"}]
    coded = {"resourceType": "Observation", "code": {"coding": two}}
    assert sort_key(coded, "code") == "\x1fz"  # no system comes before any
    assert sort_key(coded, "combo-code", descending=True) == "urn:b\x1f1"
    assert sort_key({**coded, "subject": {"reference": "Patient/1/_history/2"}}, "patient") == "Patient/1"
    assert sort_key({**coded, "subject": {"reference": "#p", "identifier": {"value": "1"}}}, "subject") is None
    assert sort_key(NANCY, "_text") is None


def test_an_element_of_another_shape_is_no_crash():
    for odd in (
        None,
        1,
        "x",
        [],
        [None],
        {},
        {"coding": None},
        {"coding": [None, 1, {"code": 5}]},
        [["x"]],
        True,
        Decimal(1),
    ):
        resource = {
            **PRESSURE,
            "code": odd,
            "subject": odd,
            "component": odd,
            "effectiveDateTime": odd,
            "identifier": odd,
            "meta": odd,
            "text": odd,
        }
        for question in ("code=x", "code:text=x", "subject=Patient/x", "subject:identifier=x", "component-value-quantity=5", "date=2020", "identifier=x", "_tag=x", "_text=x", "_content=x",
                         "component-code-value-quantity=a$1", "code:missing=true", "subject:missing=true", "_profile=x"):  # fmt: skip
            match(parse.parse("Observation", [question.split("=", 1)]), resource)
