"""The terminology engine on R4's own definitions: expansions, filters, subsumption, maps, and what is refused."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Incorrect, Refused
from gateway.formats import json
from gateway.model import Resource
from gateway.terminology import tables
from gateway.terminology.codesystem import CodeSystem, Subsumption, languages
from gateway.terminology.compose import Contents
from gateway.terminology.expand import Wanted, expand
from gateway.terminology.failures import NoContent, TooCostly, Unsupported
from gateway.terminology.filters import test_of as matching
from gateway.terminology.for_search import Codes
from gateway.terminology.library import Library
from gateway.terminology.shelf import Shelf
from gateway.terminology.translate import Code, Sought, translate
from tests.corpus import corpus_folder

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
TABLES = tables.load(MAPPINGS)
SHELF = Shelf(MAPPINGS, TABLES)
LIBRARY = Library(SHELF)
NOW = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def value_set(**include: Any) -> Resource:
    return {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include]}}


def codes(of: Resource, library: Library = LIBRARY) -> list[str]:
    return [code for _, code in Contents(library).members(of)]


def filtered(system: str, name: str, operator: str, value: str) -> list[str]:
    return codes(value_set(system=system, filter=[{"property": name, "op": operator, "value": value}]))


def test_every_required_value_set_has_the_codes_that_validation_knows() -> None:
    """Two programs read the definitions: `tools/r4_tables.py` for validation, this engine for expansion."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    for row in TABLES.rows("fhir/required-codes"):
        wanted.setdefault(row["value_set"], set()).add((row["system"], row["code"]))
    assert len(wanted) == 220
    for url, known in wanted.items():
        assert set(Contents(LIBRARY).members(LIBRARY.value_set(url) or {})) == known, url


def test_most_value_sets_expand_and_the_others_say_why() -> None:
    expanded, refused = 0, 0
    for url in SHELF.urls("ValueSet"):
        found = LIBRARY.value_set(url)
        assert found is not None
        try:
            made = expand(found, LIBRARY, Wanted(), now=NOW, identifier="urn:uuid:x")
        except (NoContent, Unsupported):
            refused += 1
        else:
            expanded += 1
            assert made["expansion"]["total"] == len(made["expansion"].get("contains", ()))
    print(f"value sets that come with the gateway: {expanded} expand, {refused} cannot be expanded here")
    assert expanded > 1290
    assert refused < 100


@pytest.mark.corpus
def test_agreement_with_the_expansions_that_r4_ships() -> None:
    """Of four, two agree whole; `inactive` is of 2017 and lacks what its code system has gained since; the codes of
    `example-hierarchical` are those of a contained code system that its expansion names otherwise.
    """
    folder = corpus_folder("fhir-r4-definitions")
    agreed = {}
    for line in gzip.decompress((folder / "ValueSet.ndjson.gz").read_bytes()).splitlines():
        read = json.loads(line)
        if "expansion" in read:
            shipped = set(_shipped(read["expansion"]["contains"]))
            mine = set(Contents(LIBRARY).members(LIBRARY.value_set(read["url"]) or {}))
            agreed[read["id"]] = (len(shipped & mine), len(shipped), len(mine))
    print("expansions shipped with R4 (both, shipped, ours):", agreed)
    assert agreed.pop("example-hierarchical")[1:] == (12, 13)
    assert agreed.pop("inactive") == (5, 5, 11)
    assert all(len(set(counts)) == 1 for counts in agreed.values())
    assert len(agreed) == 2


def _shipped(contains: list[Resource]) -> Iterator[tuple[str, str]]:
    for one in contains:
        if one.get("code") and not one.get("abstract"):
            yield one["system"], one["code"]
        yield from _shipped(one.get("contains", []))


def test_filters_by_hierarchy() -> None:
    below = filtered(ACT, "concept", "is-a", "_ActEncounterCode")
    assert {"AMB", "IMP", "ACUTE", "_ActEncounterCode"} <= set(below)
    assert set(below) - set(filtered(ACT, "concept", "descendent-of", "_ActEncounterCode")) == {"_ActEncounterCode"}
    assert set(filtered(ACT, "concept", "is-not-a", "_ActEncounterCode")).isdisjoint(below)
    assert set(filtered(ACT, "concept", "generalizes", "ACUTE")) >= {"ACUTE", "IMP", "_ActEncounterCode"}


def test_filters_by_property() -> None:
    gender = "http://hl7.org/fhir/administrative-gender"
    assert filtered(gender, "code", "=", "male") == ["male"]
    assert filtered(gender, "code", "in", "male, female") == ["male", "female"]
    assert filtered(gender, "code", "not-in", "male,female") == ["other", "unknown"]
    assert filtered(gender, "display", "regex", "(Fem|M)ale") == ["male", "female"]
    assert filtered(gender, "display", "regex", "F.*ale") == ["female"]
    assert filtered(gender, "notSelectable", "=", "true") == []
    assert filtered(ACT, "status", "exists", "true")
    with pytest.raises(Unsupported):
        filtered(gender, "colour", "=", "red")
    with pytest.raises(NoContent):
        filtered(gender, "concept", "is-a", "nobody")


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a|aa)*b", r"(a)\1", "a*a*a*b", "(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)b",
     "a?" * 60 + "a" * 60, "x" * 201, "(?=a)b"],
)  # fmt: skip
def test_a_regex_that_may_take_for_ever_is_not_tried(pattern: str) -> None:
    with pytest.raises(TooCostly):
        matching(LIBRARY.code_system(ACT), {"property": "code", "op": "regex", "value": pattern})  # type: ignore[arg-type]


@given(st.text(alphabet="ab?*+|().[]{}1,\\", max_size=30))
def test_any_regex_is_answered_soon(pattern: str) -> None:
    system = CodeSystem(
        {"content": "complete", "concept": [{"code": "a" * 60}, {"code": "ab" * 30}, {"code": "a" * 59 + "b"}]}
    )
    begun = time.perf_counter()
    try:
        test = matching(system, {"property": "code", "op": "regex", "value": pattern})
        for concept in system.concepts.values():
            test(concept)
    except (TooCostly, Unsupported):
        pass
    assert time.perf_counter() - begun < 2


@st.composite
def _forests(draw: st.DrawFn) -> Resource:
    """A code system of up to 12 codes whose parents come before them: no circle."""
    size = draw(st.integers(1, 12))
    concepts = []
    for number in range(size):
        parents = draw(st.sets(st.integers(0, max(0, number - 1)), max_size=2)) if number else set()
        properties = [{"code": "parent", "valueCode": f"c{parent}"} for parent in sorted(parents)]
        concepts.append({"code": f"c{number}", **({"property": properties} if properties else {})})
    return {"content": "complete", "concept": concepts}


@given(_forests())
def test_subsumption_is_an_order_and_agrees_with_below_and_above(resource: Resource) -> None:
    system = CodeSystem(resource)
    below = {code: {one.code for one in system.below(code)} for code in system.concepts}
    for a, b in itertools.product(system.concepts, repeat=2):
        said = system.subsumes(a, b)
        assert (said in {Subsumption.SUBSUMES, Subsumption.EQUIVALENT}) == (b in below[a])
        assert (said is Subsumption.EQUIVALENT) == (a == b)
        assert (a in {one.code for one in system.above(b)}) == (b in below[a])
        if b in below[a]:
            assert below[b] <= below[a]


def test_a_circle_of_concepts_ends() -> None:
    circle = [
        {"code": "a", "property": [{"code": "parent", "valueCode": "b"}]},
        {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]},
    ]
    system = CodeSystem({"content": "complete", "concept": circle})
    assert {one.code for one in system.below("a")} == {"a", "b"}


def test_includes_are_joined_by_or_and_their_criteria_by_and() -> None:
    status = "http://hl7.org/fhir/observation-status"
    some = {"resourceType": "ValueSet", "url": "urn:some", "status": "active"}
    some["compose"] = {"include": [{"system": status, "concept": [{"code": "final"}, {"code": "amended"}]}]}
    library = Library(SHELF, [some])
    both = value_set(
        system=status, filter=[{"property": "code", "op": "in", "value": "final,registered"}], valueSet=["urn:some"]
    )
    assert codes(both, library) == ["final"]
    either = value_set(valueSet=["urn:some"])
    either["compose"]["include"].append({"system": status, "concept": [{"code": "registered"}]})
    either["compose"]["exclude"] = [{"system": status, "concept": [{"code": "amended"}]}]
    assert codes(either, library) == ["final", "registered"]


def test_a_list_of_an_external_system_is_expanded_as_it_stands() -> None:
    listed = value_set(
        system="http://snomed.info/sct", concept=[{"code": "22298006", "display": "Myocardial infarction"}]
    )
    made = expand(listed, LIBRARY, Wanted(), now=NOW, identifier="urn:uuid:x")
    assert made["expansion"]["contains"] == [
        {"system": "http://snomed.info/sct", "code": "22298006", "display": "Myocardial infarction"}
    ]
    with pytest.raises(NoContent):
        codes(value_set(system="http://unitsofmeasure.org"))


def test_more_than_the_limit_is_too_costly_unless_it_is_paged() -> None:
    many = {"resourceType": "CodeSystem", "url": "urn:many", "status": "active", "content": "complete"}
    many["concept"] = [{"code": f"c{number}"} for number in range(10_001)]
    library = Library(SHELF, [many])
    whole = value_set(system="urn:many")
    with pytest.raises(TooCostly):
        expand(whole, library, Wanted(), now=NOW, identifier="urn:uuid:x")
    page = expand(whole, library, Wanted(offset=9_999, count=10), now=NOW, identifier="urn:uuid:x")
    assert [one["code"] for one in page["expansion"]["contains"]] == ["c9999", "c10000"]


@given(st.integers(0, 30), st.integers(0, 30))
def test_pages_are_cut_from_one_list(offset: int, count: int) -> None:
    status = LIBRARY.value_set("http://hl7.org/fhir/ValueSet/encounter-status") or {}
    whole = [code for _, code in Contents(LIBRARY).members(status)]
    page = expand(status, LIBRARY, Wanted(offset=offset, count=count), now=NOW, identifier="urn:uuid:x")["expansion"]
    assert [one["code"] for one in page.get("contains", ())] == whole[offset : offset + count]
    assert page["total"] == len(whole)


def test_every_map_backwards_finds_what_it_gives_forwards() -> None:
    """Law: if a map takes A to B, then reversed it takes B to A."""
    checked = 0
    for concept_map in SHELF.maps:
        for group in concept_map.get("group", ()):
            for element in group.get("element", ()):
                code = Code(element.get("code", ""), group.get("source", ""))
                for match in translate(code, [concept_map], Sought(), LIBRARY):
                    if match.code and match.system and code.code:
                        back = translate(Code(match.code, match.system), [concept_map], Sought(reverse=True), LIBRARY)
                        assert code.code in {one.code for one in back}, (concept_map["url"], code)
                        checked += 1
    assert checked > 700


def test_reversed_equivalence_turns_round() -> None:
    target = [{"code": "b", "equivalence": "narrower"}]
    one = {
        "url": "urn:m",
        "group": [{"source": "urn:a", "target": "urn:b", "element": [{"code": "a", "target": target}]}],
    }
    assert translate(Code("a", "urn:a"), [one], Sought(), LIBRARY)[0].equivalence == "narrower"
    assert translate(Code("b", "urn:b"), [one], Sought(reverse=True), LIBRARY)[0].equivalence == "wider"
    assert translate(Code("a", "urn:a"), [one], Sought(system="urn:c"), LIBRARY) == []
    assert translate(Code("a", "urn:b"), [one], Sought(), LIBRARY) == []


def test_maps_that_send_each_other_round_end() -> None:
    def sends(name: str, other: str) -> Resource:
        group = {
            "source": "urn:a",
            "target": "urn:b",
            "element": [{"code": "z"}],
            "unmapped": {"mode": "other-map", "url": other},
        }
        return {"resourceType": "ConceptMap", "url": name, "status": "active", "group": [group]}

    library = Library(SHELF, [sends("urn:1", "urn:2"), sends("urn:2", "urn:1")])
    assert translate(Code("x", "urn:a"), library.concept_maps()[:2], Sought(), library) == []


def test_search_gets_all_codes_or_a_reason() -> None:
    lent = Codes(LIBRARY)
    status = lent.expand("http://hl7.org/fhir/ValueSet/observation-status")
    assert ("http://hl7.org/fhir/observation-status", "final") in status
    assert (ACT, "ACUTE") in lent.below(ACT, "IMP")
    assert (ACT, "IMP") in lent.above(ACT, "ACUTE")
    for ask in (
        lambda: lent.expand("urn:nothing"),
        lambda: lent.expand("http://loinc.org/vs"),
        lambda: lent.below("http://loinc.org", "8480-6"),
        lambda: lent.above(ACT, "nothing"),
    ):
        with pytest.raises(Incorrect):
            ask()


def test_languages_are_ranked_as_accept_language_is() -> None:
    assert languages("da") == ["da"]
    assert languages("en;q=0.5, da-DK, de;q=0.9") == ["da", "de", "en"]
    assert languages("") == []


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "system": st.sampled_from([ACT, "http://loinc.org", "urn:none", "#x"]),
                "concept": st.lists(st.fixed_dictionaries({"code": st.text(min_size=1, max_size=3)}), max_size=2),
                "valueSet": st.lists(
                    st.sampled_from(["urn:v", "http://hl7.org/fhir/ValueSet/observation-status"]), max_size=2
                ),
                "filter": st.lists(
                    st.fixed_dictionaries(
                        {
                            "property": st.sampled_from(["concept", "code", "status", "x"]),
                            "op": st.sampled_from(
                                [
                                    "=",
                                    "is-a",
                                    "descendent-of",
                                    "is-not-a",
                                    "regex",
                                    "in",
                                    "not-in",
                                    "generalizes",
                                    "exists",
                                ]
                            ),
                            "value": st.text(max_size=5),
                        }
                    ),
                    max_size=2,
                ),
            },
        ),
        max_size=3,
    )
)
def test_whatever_a_value_set_is_made_of_it_has_members_or_a_reason(include: list[Resource]) -> None:
    """Law: what `members` lists, `holds` finds, and nothing but a `Refused` is raised."""
    made = {"resourceType": "ValueSet", "status": "active", "compose": {"include": include}}
    try:
        members = Contents(LIBRARY).members(made)
    except Refused:
        return
    for system, code in list(members)[:20]:
        assert Contents(LIBRARY).holds(made, system, code) is not None
    try:
        assert Contents(LIBRARY).holds(made, ACT, "no such code") is None
    except Refused:
        pass
