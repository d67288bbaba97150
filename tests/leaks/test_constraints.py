"""Constraints of scopes: what kinds are honoured, on every way to a resource; what cannot be honoured opens nothing."""

from __future__ import annotations

import pytest

from gateway.access import sight
from gateway.access.scopes import parse
from tests.leaks.gateway import Gateway, citizen, gateway
from tests.leaks.two_patients import observation, patient, reference

MGDL = {"unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
OBSERVATIONS = {
    "early": {"effectiveDateTime": "2015-06-01", "valueQuantity": {"value": 5, **MGDL}},
    "late": {"effectiveDateTime": "2026-06-01", "valueQuantity": {"value": 0.5, **MGDL, "unit": "g", "code": "g"}},
    "said": {"effectiveDateTime": "2026-07-01", "valueString": "Bleeding within"},
    "bare": {"effectiveDateTime": "2026-08-01", "valueDateTime": "2026-07-15"},
}


@pytest.fixture(scope="module")
def here(postgres_url):
    with gateway(postgres_url) as made:
        for who in "ab":
            made.put(
                patient(who, "x", "1980-01-01", who),
                *({**observation(f"{who}-{name}", who, **more), "meta": {"source": f"urn:{name}"}} for name, more in OBSERVATIONS.items()),
                {"resourceType": "RiskAssessment", "id": f"{who}-risk", "status": "final", "subject": reference(f"Patient/{who}"), "prediction": [{"probabilityDecimal": 0.8}]},
                {"resourceType": "Provenance", "id": f"{who}-of-late", "target": [reference(f"Observation/{who}-late")], "recorded": "2026-01-01T00:00:00Z", "agent": [{"who": {"display": "x"}}]},
            )  # fmt: skip
        yield made


CASES = [
    ("date=ge2026", {"late", "said", "bare"}),
    ("date=2015", {"early"}),
    ("date=sa2026-06-15&date=lt2026-08", {"said"}),
    ("value-date=ge2026", {"bare"}),
    ("value-quantity=gt100|http://unitsofmeasure.org|mg", {"late"}),
    ("value-quantity=5||mg", {"early"}),
    ("value-quantity=500|http://unitsofmeasure.org|mg", {"late"}),
    ("combo-value-quantity=lt10|http://unitsofmeasure.org|mg", {"early"}),
    ("value-string=bleed", {"said"}),
    ("_source=urn:bare", {"bare"}),
    ("_id=a-early,a-bare,b-bare", {"early", "bare"}),
    ("date=ge2026&value-quantity=gt1|http://unitsofmeasure.org|mg", {"late"}),
    ("status=final", {"early", "late", "said", "bare"}),
]


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_a_constraint_narrows_on_every_way(here: Gateway, query, expected):
    here.know("he", citizen("a", f"patient/Observation.rs?{query}", "patient/Patient.rs", "patient/Provenance.rs"))
    names = {f"Observation/a-{one}" for one in expected}
    assert {*here.pages("he", "/Observation?_count=2")} == names
    assert here.get("he", "/Observation?_summary=count&_total=accurate").json["total"] == len(names)
    assert {*here.pages("he", "/Observation/_history?_count=1")} == names
    assert {*here.pages("he", "/Patient/a/$everything")} - {"Patient/a"} >= names
    assert {*here.get("he", "/Patient?_revinclude=Observation:patient").ids} == names | {"Patient/a"}
    for one in OBSERVATIONS:
        name, there = f"Observation/a-{one}", one in expected
        for path in (f"/{name}", f"/{name}/_history", f"/{name}/_history/1"):
            assert here.get("he", path).status == (200 if there else 404), path
        assert here.get("he", f"/Patient?_has:Observation:patient:_id=a-{one}").ids == (["Patient/a"] if there else [])
        assert here.get("he", f"/Observation/b-{one}").status == 404
    assert here.pages("he", "/Provenance") == (["Provenance/a-of-late"] if "late" in expected else [])


@pytest.mark.parametrize(("query", "expected"), [case for case in CASES if "_id" not in case[0]])
def test_what_is_written_must_be_within_the_constraint(here: Gateway, query, expected):
    here.know("he", citizen("a", f"patient/Observation.c?{query}"))
    for one, more in OBSERVATIONS.items():
        sent = {**observation("x", "a", **more), "meta": {"source": f"urn:{one}"}}
        told = here.ask("he", "POST", "/Observation", sent)
        assert told.status == (201 if one in expected else 403), (one, told.body)
        if told.status == 201:
            assert here.ask("all", "DELETE", f"/Observation/{told.json['id']}").status == 204


def test_an_older_version_is_judged_by_its_own_content(here: Gateway):
    for value in (1, 50, 2, 60):
        here.put(observation("a-moves", "a", valueQuantity={"value": value, **MGDL}))
    here.know("he", citizen("a", "patient/Observation.rs?value-quantity=gt10||mg"))
    told = here.get("he", "/Observation/a-moves/_history")
    assert [one["resource"]["meta"]["versionId"] for one in told.json["entry"]] == ["4", "2"]
    assert here.get("he", "/Observation/a-moves/_history/1").status == 404
    assert here.get("he", "/Observation/a-moves/_history/2").status == 200
    assert here.ask("all", "DELETE", "/Observation/a-moves").status == 204


def test_a_unit_that_another_process_has_learnt_counts_at_once(here: Gateway):
    with gateway(here.store_url, schema=here.store._schema) as other:
        other.know("he", citizen("a", "patient/Observation.rs?value-quantity=gt1||foot-pound"))
        assert other.get("he", "/Observation/a-odd").status == 404
        here.put(observation("a-odd", "a", valueQuantity={"value": 3, "unit": "foot-pound"}))
        assert other.get("he", "/Observation/a-odd").status == 200
        assert other.pages("he", "/Observation") == ["Observation/a-odd"]
        assert other.pages("he", "/Observation/_history") == ["Observation/a-odd"]
    assert here.ask("all", "DELETE", "/Observation/a-odd").status == 204


@pytest.mark.parametrize("query", ["_lastUpdated=ge2020", "_text=x", "_content=x", "code-value-quantity=8480-6$5", "date=ap2026", "date=never", "nothing=1", "_count=5", "_sort=date", "_list=x", "_has=x", "date=ge2026&_sort=date"])  # fmt: skip
def test_what_cannot_be_honoured_opens_nothing(here: Gateway, query):
    here.know("he", citizen("a", f"patient/Observation.rs?{query}", "patient/Patient.rs"))
    assert here.get("he", "/Observation").ids == []
    assert here.get("he", "/Observation/a-early").status == 404
    assert here.get("he", "/Patient?_revinclude=Observation:patient").ids == ["Patient/a"]
    here.know("both", citizen("a", f"patient/Observation.rs?{query}", "patient/Observation.rs?date=2015"))
    assert here.get("both", "/Observation").ids == ["Observation/a-early"], "nor does it close what another opens"


def test_a_constraint_of_all_types_counts_for_those_that_have_it(here: Gateway):
    (grant,) = parse(["patient/*.rs?probability=gt0.5"]).grants
    assert sight.constraint("RiskAssessment", grant)
    assert sight.constraint("Observation", grant) is None
    here.know("he", citizen("a", "patient/*.rs?probability=gt0.5"))
    assert here.pages("he", "/RiskAssessment") == ["RiskAssessment/a-risk"]
    assert here.get("he", "/Observation").ids == []
