"""$expand, $lookup, $validate-code, $subsumes and $translate on a real store, with terminology of all three sources."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contracts.operations import Desk, codes, desk, parameters, parts, value
from tests.contracts.stores import Database

COLOURS = "http://example.org/colours"
TREE = {
    "resourceType": "CodeSystem",
    "id": "colours",
    "url": COLOURS,
    "version": "2",
    "name": "Colours",
    "status": "active",
    "content": "complete",
    "caseSensitive": False,
    "hierarchyMeaning": "is-a",
    "property": [{"code": "warm", "type": "boolean"}, {"code": "notSelectable", "type": "boolean"}],
    "concept": [
        {
            "code": "red",
            "display": "Red",
            "designation": [{"language": "da", "value": "Rød"}],
            "property": [{"code": "warm", "valueBoolean": True}],
            "concept": [
                {"code": "scarlet", "display": "Scarlet", "property": [{"code": "warm", "valueBoolean": True}]},
                {"code": "crimson", "display": "Crimson", "property": [{"code": "inactive", "valueBoolean": True}]},
            ],
        },
        {"code": "blue", "display": "Blue", "property": [{"code": "notSelectable", "valueBoolean": True}]},
    ],
}
REDS = {
    "resourceType": "ValueSet",
    "id": "reds",
    "url": "http://example.org/reds",
    "status": "active",
    "compose": {"include": [{"system": COLOURS, "filter": [{"property": "concept", "op": "is-a", "value": "red"}]}]},
}
CHOSEN = {
    "resourceType": "ValueSet",
    "id": "chosen",
    "url": "http://example.org/chosen",
    "status": "active",
    "compose": {
        "include": [{"valueSet": ["http://example.org/reds"]}, {"system": COLOURS, "concept": [{"code": "blue"}]}],
        "exclude": [{"system": COLOURS, "concept": [{"code": "crimson"}]}],
    },
}
TO_GENDER = {
    "resourceType": "ConceptMap",
    "id": "map",
    "url": "http://example.org/map",
    "status": "active",
    "group": [
        {
            "source": COLOURS,
            "target": "http://example.org/paint",
            "element": [
                {"code": "red", "target": [{"code": "R1", "equivalence": "wider"}]},
                {"code": "blue", "target": [{"equivalence": "unmatched"}]},
            ],
            "unmapped": {"mode": "fixed", "code": "OTHER", "display": "Other"},
        }
    ],
}
GENDER = "http://hl7.org/fhir/administrative-gender"
OBSERVATION_STATUS = "http://hl7.org/fhir/ValueSet/observation-status"


@pytest.fixture
async def asked(database: Database) -> AsyncIterator[Desk]:
    async with desk(database.url) as opened:
        await opened.put(TREE, REDS, CHOSEN, TO_GENDER)
        yield opened


async def test_a_value_set_of_r4_is_expanded_in_danish_with_paging(asked: Desk) -> None:
    status, whole = await asked.ask("ValueSet/$expand", ("url", OBSERVATION_STATUS), ("displayLanguage", "da"))
    assert status == 200
    assert whole["expansion"]["total"] == 8
    shown = {one["code"]: one["display"] for one in whole["expansion"]["contains"]}
    assert shown["final"] == "Endelig"
    _, page = await asked.ask("ValueSet/$expand", ("url", OBSERVATION_STATUS), ("offset", "2"), ("count", "3"))
    assert codes(page) == codes(whole)[2:5]
    assert page["expansion"]["total"] == 8
    assert page["expansion"]["offset"] == 2
    told = {one["name"]: one for one in page["expansion"]["parameter"]}
    assert told["count"]["valueInteger"] == 3
    assert told["used-codesystem"]["valueUri"] == "http://hl7.org/fhir/observation-status|4.0.1"
    _, none = await asked.ask("ValueSet/$expand", ("url", OBSERVATION_STATUS), ("count", "0"))
    assert none["expansion"]["total"] == 8
    assert "contains" not in none["expansion"]


async def test_stored_value_sets_import_one_another_and_stored_code_systems(asked: Desk) -> None:
    _, by_url = await asked.ask("ValueSet/$expand", ("url", "http://example.org/chosen"))
    assert codes(by_url) == ["red", "scarlet", "blue"]
    _, by_id = await asked.ask("ValueSet/chosen/$expand")
    assert codes(by_id) == codes(by_url)
    _, inline = await asked.ask("ValueSet/$expand", body={**CHOSEN, "url": "http://example.org/other"})
    assert codes(inline) == codes(by_url)
    _, active = await asked.ask("ValueSet/reds/$expand", ("activeOnly", "true"))
    assert codes(active) == ["red", "scarlet"]
    _, selectable = await asked.ask("ValueSet/chosen/$expand", ("excludeNotForUI", "true"))
    assert codes(selectable) == ["red", "scarlet"]


async def test_a_text_filter_finds_other_languages_and_beginnings_of_words(asked: Desk) -> None:
    for text in ("rød", "RØD", "re"):
        _, found = await asked.ask("ValueSet/reds/$expand", ("filter", text))
        assert codes(found) == ["red"], text
    _, none = await asked.ask("ValueSet/reds/$expand", ("filter", "ed"))
    assert codes(none) == []


async def test_designations_come_when_asked_for(asked: Desk) -> None:
    _, plain = await asked.ask("ValueSet/reds/$expand")
    assert "designation" not in plain["expansion"]["contains"][0]
    _, every = await asked.ask("ValueSet/reds/$expand", ("includeDesignations", "true"))
    assert every["expansion"]["contains"][0]["designation"] == [{"language": "da", "value": "Rød"}]
    _, german = await asked.ask("ValueSet/reds/$expand", ("designation", "urn:ietf:bcp:47|de"))
    assert "designation" not in german["expansion"]["contains"][0]


async def test_what_cannot_be_expanded_is_said_and_not_guessed(asked: Desk) -> None:
    status, _ = await asked.ask("ValueSet/$expand", ("url", "http://example.org/nowhere"))
    assert status == 404
    snomed = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": "http://unknown"}]}}
    status, outcome = await asked.ask("ValueSet/$expand", body=snomed)
    assert (status, outcome["issue"][0]["code"]) == (422, "not-found")
    loinc = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": "http://loinc.org"}]}}
    _, part = await asked.ask("ValueSet/$expand", body=loinc)
    assert part["expansion"]["extension"][0]["valueBoolean"] is True
    slow = {"property": "code", "op": "regex", "value": "(a+)+b"}
    hard = {
        "resourceType": "ValueSet",
        "status": "active",
        "compose": {"include": [{"system": COLOURS, "filter": [slow]}]},
    }
    status, outcome = await asked.ask("ValueSet/$expand", body=hard)
    assert (status, outcome["issue"][0]["code"]) == (422, "too-costly")


async def test_value_sets_that_include_each_other_are_refused(asked: Desk) -> None:
    one = {"resourceType": "ValueSet", "id": "a", "url": "http://example.org/a", "status": "active"}
    two = {**one, "id": "b", "url": "http://example.org/b"}
    await asked.put(
        {**one, "compose": {"include": [{"valueSet": [two["url"]]}]}},
        {**two, "compose": {"include": [{"valueSet": [one["url"]]}]}},
    )
    status, outcome = await asked.ask("ValueSet/a/$expand")
    assert (status, outcome["issue"][0]["code"]) == (422, "not-supported")


async def test_a_stored_version_is_chosen_by_number_and_the_latest_otherwise(asked: Desk) -> None:
    await asked.put({**TREE, "id": "newer", "version": "10", "concept": [{"code": "green", "display": "Green"}]})
    whole = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": COLOURS}]}}
    _, latest = await asked.ask("ValueSet/$expand", body=whole)
    assert codes(latest) == ["green"]
    _, older = await asked.ask(
        "ValueSet/$expand", body=parameters(valueSet=whole, system_version__valueCanonical=f"{COLOURS}|2")
    )
    assert codes(older) == ["red", "scarlet", "crimson", "blue"]


async def test_lookup_tells_names_properties_parents_and_children(asked: Desk) -> None:
    status, found = await asked.ask(
        "CodeSystem/$lookup", ("system", COLOURS), ("code", "RED"), ("displayLanguage", "da-DK")
    )
    assert status == 200
    assert (value(found, "name"), value(found, "version"), value(found, "display")) == ("Colours", "2", "Rød")
    assert parts(found, "designation") == [{"language": "da", "value": "Rød"}]
    told = [(one["code"], one["value"]) for one in parts(found, "property")]
    assert ("child", "scarlet") in told
    assert ("warm", True) in told
    _, few = await asked.ask(
        "CodeSystem/$lookup",
        body=parameters(coding__valueCoding={"system": COLOURS, "code": "scarlet"}, property__valueCode="parent"),
    )
    assert [(one["code"], one["value"]) for one in parts(few, "property")] == [("parent", "red")]
    assert parts(few, "designation") == []


async def test_lookup_of_codes_that_are_not_here(asked: Desk) -> None:
    for system, code, status, issue in (
        (COLOURS, "mauve", 404, "not-found"),
        ("http://nowhere", "x", 404, "not-found"),
        ("http://loinc.org", "99999-9", 422, "not-found"),
    ):
        answered, outcome = await asked.ask("CodeSystem/$lookup", ("system", system), ("code", code))
        assert (answered, outcome["issue"][0]["code"]) == (status, issue)
    _, loinc = await asked.ask(
        "CodeSystem/$lookup", ("system", "http://loinc.org"), ("code", "8480-6"), ("displayLanguage", "da")
    )
    assert value(loinc, "display") == "Systolisk blodtryk"
    _, npu = await asked.ask("CodeSystem/$lookup", ("system", "http://npu-terminology.org"), ("code", "NPU03804"))
    assert value(npu, "display") == "Pt—Legeme; masse = ? kg"


async def test_a_code_is_in_a_value_set_or_not_and_called_so_or_not(asked: Desk) -> None:
    url = ("url", "http://example.org/chosen")
    for code, more, result in (
        ("scarlet", {}, True),
        ("crimson", {}, False),
        ("mauve", {}, False),
        ("red", {"display": "rød"}, True),
        ("red", {"display": "Blue"}, False),
        ("blue", {}, False),
        ("blue", {"abstract": "true"}, True),
    ):
        _, said = await asked.ask("ValueSet/$validate-code", url, ("system", COLOURS), ("code", code), *more.items())
        assert value(said, "result") is result, (code, more, said)
    _, wrong = await asked.ask(
        "ValueSet/$validate-code", url, ("system", COLOURS), ("code", "red"), ("display", "Blue")
    )
    assert "Red" in value(wrong, "message")
    assert value(wrong, "display") == "Red"
    concept = {"coding": [{"system": COLOURS, "code": "mauve"}, {"system": COLOURS, "code": "red"}]}
    _, any_of = await asked.ask(
        "ValueSet/chosen/$validate-code", body=parameters(codeableConcept__valueCodeableConcept=concept)
    )
    assert value(any_of, "result") is True


async def test_a_code_is_in_a_code_system_or_not(asked: Desk) -> None:
    _, yes = await asked.ask(
        "CodeSystem/$validate-code", ("url", GENDER), ("code", "female"), ("displayLanguage", "da")
    )
    assert (value(yes, "result"), value(yes, "display")) == (True, "Kvinde")
    _, no = await asked.ask("CodeSystem/colours/$validate-code", ("code", "mauve"))
    assert value(no, "result") is False
    _, coding = await asked.ask(
        "CodeSystem/$validate-code", body=parameters(coding__valueCoding={"system": COLOURS, "code": "blue"})
    )
    assert value(coding, "result") is True
    status, outcome = await asked.ask(
        "CodeSystem/$validate-code", ("url", "http://snomed.info/sct"), ("code", "22298006")
    )
    assert (status, outcome["issue"][0]["code"]) == (422, "not-found")


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ("red", "scarlet", "subsumes"),
        ("scarlet", "red", "subsumed-by"),
        ("red", "RED", "equivalent"),
        ("scarlet", "blue", "not-subsumed"),
    ],
)
async def test_subsumption(asked: Desk, a: str, b: str, outcome: str) -> None:
    _, by_type = await asked.ask("CodeSystem/$subsumes", ("system", COLOURS), ("codeA", a), ("codeB", b))
    _, by_instance = await asked.ask("CodeSystem/colours/$subsumes", ("codeA", a), ("codeB", b))
    assert value(by_type, "outcome") == value(by_instance, "outcome") == outcome


async def test_translation_goes_both_ways_and_says_when_there_is_none(asked: Desk) -> None:
    _, there = await asked.ask("ConceptMap/map/$translate", ("system", COLOURS), ("code", "red"))
    assert value(there, "result") is True
    [match] = parts(there, "match")
    assert (match["equivalence"], match["concept"]["code"]) == ("wider", "R1")
    assert match["source"] == "http://example.org/map"
    _, back = await asked.ask(
        "ConceptMap/$translate", ("system", "http://example.org/paint"), ("code", "R1"), ("reverse", "true")
    )
    [match] = parts(back, "match")
    assert (match["equivalence"], match["concept"]) == ("narrower", {"system": COLOURS, "code": "red"})
    _, none = await asked.ask("ConceptMap/$translate", ("system", COLOURS), ("code", "blue"))
    assert value(none, "result") is False
    _, unmapped = await asked.ask("ConceptMap/$translate", ("system", COLOURS), ("code", "mauve"))
    assert parts(unmapped, "match")[0]["concept"]["code"] == "OTHER"


async def test_the_gateways_own_maps_translate(asked: Desk) -> None:
    _, sex = await asked.ask(
        "ConceptMap/$translate",
        ("url", "urn:sundbro:map:hl7v2:0001-administrative-sex"),
        ("system", "http://terminology.hl7.org/CodeSystem/v2-0001"),
        ("code", "F"),
    )
    assert parts(sex, "match")[0]["concept"] == {"system": GENDER, "code": "female"}
    _, npu = await asked.ask(
        "ConceptMap/$translate",
        ("system", "http://npu-terminology.org"),
        ("code", "NPU03804"),
        ("targetsystem", "http://loinc.org"),
    )
    assert [one["concept"]["code"] for one in parts(npu, "match")] == ["29463-7"]


async def test_who_may_not_read_stored_code_systems_gets_none_of_them(asked: Desk) -> None:
    status, _ = await asked.ask("ValueSet/chosen/$expand", scopes=("system/ValueSet.rs",))
    assert status == 422
    status, _ = await asked.ask("ValueSet/$expand", ("url", OBSERVATION_STATUS), scopes=("system/ValueSet.r",))
    assert status == 200
    status, _ = await asked.ask("ValueSet/$expand", ("url", OBSERVATION_STATUS), scopes=("system/Patient.rs",))
    assert status == 403


@pytest.mark.parametrize(
    ("address", "pairs", "at"),
    [
        ("ValueSet/$expand", [("url", OBSERVATION_STATUS), ("colour", "red")], "colour"),
        ("ValueSet/$expand", [("url", OBSERVATION_STATUS), ("count", "many")], "count"),
        ("ValueSet/$expand", [("url", OBSERVATION_STATUS), ("count", "1"), ("count", "2")], "count"),
        ("ValueSet/$expand", [("url", OBSERVATION_STATUS), ("activeOnly", "yes")], "activeOnly"),
        ("ValueSet/$expand", [], "url"),
        ("CodeSystem/$lookup", [("code", "x")], "system"),
        ("CodeSystem/$lookup", [("system", "x")], "code"),
        ("CodeSystem/$subsumes", [("system", COLOURS), ("codeA", "red")], "codeB"),
        ("ValueSet/$validate-code", [("code", "x"), ("system", "y")], "url"),
        ("ConceptMap/$translate", [("coding", "x|y")], "coding"),
    ],
)
async def test_bad_input_is_refused_by_name(asked: Desk, address: str, pairs: list[tuple[str, str]], at: str) -> None:
    status, outcome = await asked.ask(address, *pairs)
    assert status == 400
    assert outcome["issue"][0]["expression"] == [at]


async def test_lenient_ignores_what_is_not_known(asked: Desk) -> None:
    pairs = (("url", OBSERVATION_STATUS), ("colour", "red"))
    status, _ = await asked.ask("ValueSet/$expand", *pairs, prefer="handling=lenient")
    assert status == 200


async def test_parameters_are_validated(asked: Desk) -> None:
    for body in (
        {"resourceType": "Parameters", "parameter": [{"name": "url", "valueUri": 7}]},
        {"resourceType": "Parameters", "parameter": [{"name": "url", "valueBoolean": True}]},
        {"resourceType": "Parameters", "parameter": [{"valueUri": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "resource": {"resourceType": "ValueSet"}}]},
        {"resourceType": "Patient"},
        {"resourceType": "Nothing"},
    ):
        status, _ = await asked.ask("ValueSet/$expand", body=body)
        assert status == 400, body
