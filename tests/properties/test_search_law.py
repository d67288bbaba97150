"""The law: the store's search finds exactly what `match` says, in the order asked for, page by page, counted right."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Incorrect
from gateway.formats import json
from gateway.search import parameters, parse
from gateway.search.index import extract
from gateway.search.match import match, sort_key
from gateway.search.query import After, Query, Sort
from gateway.store.postgres.index_rows import KEY_CHARACTERS
from tests.properties.search_world import KINDS, LOINC, MOMENTS, NPU, PATIENTS, UCUM, Told, loaded_world


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    with loaded_world(tmp_path_factory.mktemp("law")) as world:
        yield world


CODES = st.sampled_from(
    ["a", "b", "c", "d", f"{LOINC}|a", f"{NPU}|a", f"{NPU}|c", "|d", "|a", r"b\|\,", "z", "http://x|a"]
)
REFERENCES = st.sampled_from(
    [*PATIENTS, "Group/p1", "p1", "p2", "https://other.example/Patient/p1", "Location/l", "Device/p2", "Patient/none"]
)
DATES = st.builds(
    str.__add__,
    st.sampled_from(["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]),
    st.sampled_from([*MOMENTS, "2026", "2027", "1900"]),
)
WORDS = st.sampled_from(
    [
        "final",
        "amended",
        "finished",
        "IMP",
        "s|AMB",
        "male",
        "1",
        "s|2",
        "true",
        "false",
        "x",
        "s|y",
        "urn:a",
        "phone|1",
        "booked",
    ]
)


def values(parameter: parameters.Parameter):
    one = {parameters.Kind.DATE: DATES, parameters.Kind.REFERENCE: REFERENCES, parameters.Kind.URI: WORDS}.get(
        parameter.kind
    )
    if one is None:
        one = CODES if any(place.type == "CodeableConcept" for place in parameter.paths) else WORDS
    return st.lists(one, min_size=1, max_size=3, unique=True).map(",".join)


ASKABLE = {
    "Observation": "code combo-code component-code category status subject patient performer date value-date value-concept _tag _lastUpdated _id",
    "Encounter": "status class subject patient date location-period location _source _lastUpdated", "Patient": "birthdate gender active identifier deceased phone email telecom _tag _id",
    "Appointment": "patient actor status date", "Condition": "code patient subject onset-date recorded-date _tag", "Practitioner": "identifier", "Location": "_tag",
    "RiskAssessment": "patient", "ValueSet": "status",
}  # fmt: skip
NAMES = [
    "S",
    "sor",
    "SORENSEN",
    "Sørensen",
    "Ås",
    "aas",
    "smith",
    "Smithers",
    "der",
    "von",
    "s" * 64,
    "S" * 70,
    "s" * 70 + "x",
    "",
    "j",
    "Änne",
    "%",
    "_",
]
TEXTS = [
    "x", "glu", "glucose", "glucose i", "glucose i b", "blod", "blodtryk", "bl", "BLØD", "blood pressure", "low", "early", "12345", "123456", "tryk 120/80, blod", "zebra", "glucose,zebra", "zebra,x", "b-12",
    "smith", "Sørensen\\, anna", "1234-5", "aben", "åben 123", "p1", "patient", "final",
]  # fmt: skip
AMOUNTS = [
    f"{prefix}{number}{unit}" for prefix in ("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap") for number in ("5.4", "1", "1000", "0.001", "5.40", "-3", "1e3", "100")
    for unit in ("", f"|{UCUM}|mg", f"|{UCUM}|g", f"|{UCUM}|kg", "||mg", "||pills", "|urn:x|g", f"|{UCUM}|mmol/L")
]  # fmt: skip
CHOSEN = {
    "Observation": {
        "value-quantity": AMOUNTS, "combo-value-quantity": AMOUNTS, "component-value-quantity": AMOUNTS, "value-string": ["low", "blood", "BLØD", "x"],
        "value-string:contains": ["low", "ood", "zz"], "value-quantity:missing": ["true", "false"], "date:missing": ["true", "false"], "status:not": ["final", "amended"],
        "code:not": ["a", f"{LOINC}|a"], "code": [f"{LOINC}|", f"{NPU}|"], "category": [f"{NPU}|"], "subject:Patient.family": NAMES, "patient.identifier": ["1", "s|2"],
        "patient.birthdate": ["ge1990", "lt2026-01-01"], "patient.gender": ["male", "female"], "patient.name:contains": ["mit", "zz"], "encounter.status": ["finished"],
        "encounter.patient.family": NAMES, "encounter.location.name": ["ward"], "has-member.code": ["a", "b"], "_has:Observation:has-member:code": ["a", "c", "zz"],
        "code-value-quantity": ["a$gt1", "b$le1000", "a$5.4||mg"], "component-code-value-quantity": ["a$gt1", "c$lt5"], **dict.fromkeys(["code:text", "combo-code:text", "category:text", "value-concept:text", "_content", "_text"], TEXTS), "subject:text": TEXTS, "performer:text": TEXTS,
        "status:text": ["fin", "amended", "zebra"], "_source:below": ["urn:a", "urn:b"], "_profile": ["http://p.example/a"], "_profile:below": ["http://p.example/a", "http://p.example"],
        "subject:Patient._content": ["boston", "aarhus", "smith"], "_filter": ["code eq a or value-quantity gt 5", "status ne final and not (date gt 2026)", "value-string sw low"],
        "patient._has:Encounter:patient:status": ["finished"], "_id": ["p1", "p2,p3"],
    },
    "Encounter": {
        "_has:Observation:encounter:code": ["a", f"{LOINC}|a", "zz"], "location.name": ["ward", "Åben"], "location.near": ["56.1|10.2|5|km"], "_has:Observation:encounter:value-quantity": ["gt1", "lt0"],
        "date:missing": ["true", "false"], "patient.family": NAMES, "_has:Observation:encounter:code-value-quantity": ["a$gt1"], "subject:Patient.general-practitioner.family": NAMES,
    },
    "Patient": {
        "family": NAMES, "given": ["a", "jo", "bo", "Änne"], "name": NAMES, "family:exact": NAMES, "family:contains": ["mit", "ren", "s" * 65], "name:text": ["smith"], "phonetic": ["smith"],
        "address": ["bos", "gade"], "address-city:contains": ["ost"], "identifier:text": ["rec", "2026", "zebra"], "_content": TEXTS, "family:missing": ["true", "false"], "given:missing": ["true"], "_has:Observation:patient:code": ["a", "b", f"{NPU}|c", "zz"],
        "_has:Observation:patient:value-quantity": ["gt1", "lt-5"], "_has:Condition:patient:onset-date": ["ge2026"], "_has:Observation:patient:encounter.status": ["finished", "in-progress"],
        "general-practitioner.family": NAMES, "general-practitioner:Practitioner.identifier": ["1", "2"], "gender:not": ["male"], "_has:Appointment:patient:status": ["booked"],
        "_has:Appointment:actor:date": ["ge2026"], "_filter": ['family sw "smi"', "birthdate gt 1990 and gender eq male", 'not (family co "smith")'],
        "_has:Observation:patient:_text": ["blood"], "_has:Encounter:patient:_has:Observation:encounter:code": ["a"],
    },
    "Appointment": {"patient.family": NAMES, "actor:Patient.family": NAMES, "actor:Device.identifier": ["x"], "date:missing": ["true"], "actor:missing": ["false"]},
    "Condition": {"onset-info": ["ea", "late", "x"], "onset-info:missing": ["true"], "subject:Patient.family": NAMES, "code:text": TEXTS, "_content": TEXTS, "patient._id": ["p1", "p2"], "onset-date:missing": ["true", "false"]},
    "Practitioner": {"family": NAMES, "name:contains": ["mit"], "_has:Patient:general-practitioner:gender": ["male"]},
    "Location": {"name": ["ward", "å"], "near": ["56.1|10.2|5|km", "55|12|200|km", "0|0|1|m"], "name:exact": ["Ward"], "_has:Encounter:location:status": ["finished"]},
    "RiskAssessment": {"probability": ["0.5", "0.50", "gt0.4", "lt0.2", "ap0.5", "ne0.9", "0.1,0.9"], "probability:missing": ["true"], "patient.family": NAMES},
    "ValueSet": {"url": ["http://a.example/x", "urn:z"], "url:below": ["http://a.example/x", "http://a.example", "http://a.example/x/"], "url:above": ["http://a.example/x/y/z"], "title": ["o", "T"], "url:contains": ["example"]},
}  # fmt: skip
SORTS = {
    "Observation": ["value-quantity", "-value-quantity", "value-date,-_id", "date,value-string", "-date,_id", "_source", "-_profile,date", "combo-value-quantity", "-combo-value-quantity,_id", "code", "-code,date", "-combo-code,status", "status,-date", "date,-category", "-date,subject",
        "subject", "-subject", "patient,-value-quantity", "encounter,code", "-has-member", "-_tag,_source", "performer,-_id", "value-concept"],
    "Encounter": ["location-period", "-location-period,date", "_lastUpdated,_id", "class,-status", "location", "-location,-date", "-subject"], "Patient": ["family", "-family", "family,-given", "-given,birthdate", "_id", "-_id", "-birthdate,family", "name", "address-city,-_lastUpdated", "phonetic", "gender", "-gender,family", "identifier", "-identifier,given", "deceased,-birthdate",
        "-deceased", "active", "-active,name", "general-practitioner", "-general-practitioner", "phone,-email", "-telecom", "family,-gender"],
    "Appointment": ["_id", "actor", "-actor", "patient,status", "-patient", "date,actor"], "Condition": ["code,-subject", "-code", "recorded-date", "-recorded-date", "onset-info,onset-date"], "Practitioner": ["family"], "Location": ["name", "-name"],
    "RiskAssessment": ["probability", "-probability"], "ValueSet": ["url", "-url", "title,url", "status,-url"],
}  # fmt: skip


@st.composite
def questions(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    plain = [(name, None) for name in ASKABLE[kind].split()]
    chosen = list(CHOSEN[kind].items())
    asked = draw(st.lists(st.one_of(st.sampled_from(plain), st.sampled_from(chosen)), max_size=3))
    pairs = []
    for name, few in asked:
        if few is not None:
            pairs.append((name, draw(st.sampled_from(few))))
        else:
            pairs.append(
                (name, draw(st.just("p1,p2,p3,p10") if name == "_id" else values(parameters.of(kind).get(name))))
            )
    main = parameters.of(kind).main_date
    dates = [main, f"-{main}"] if main else []
    sort = draw(
        st.one_of(st.sampled_from([None, "_lastUpdated", "-_lastUpdated", *dates]), st.sampled_from(SORTS[kind]))
    )
    return kind, pairs + ([("_sort", sort)] if sort else [])


NOW = dt.datetime(2026, 3, 29, 12, tzinfo=dt.UTC)
met: Counter[object] = Counter()


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions(), count=st.sampled_from([3, 50, 500]), frequent=st.booleans())
def test_the_store_finds_exactly_what_match_says(loaded, question, count, frequent):
    kind, pairs = question
    try:
        query = replace(parse.understand(kind, pairs, now=NOW).query, count=count, total=True)
    except Incorrect as refused:
        met["refused", refused.at] += 1
        return
    loaded.store._searches._frequencies = Told(frequent)
    expected = {resource["id"] for resource in loaded.resources[kind] if match(query, resource, loaded.find)}
    if count < 50 and len(expected) > 20:
        query = replace(query, count=11)
    found = loaded.pages(query)
    assert sorted(version.id for version in found) == sorted(expected), (kind, pairs)
    assert loaded.runner.run(loaded.store.search(query)).total == len(expected)
    in_order(query, found)
    met["with matches" if expected else "without"] += 1
    met[query.sort if not query.order else "keys"] += 1
    for name, _ in pairs:
        met[name, bool(expected)] += 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(questions(), min_size=2, max_size=24), times=st.integers(1, 3))
def test_searches_that_share_a_trip_are_answered_as_if_each_were_alone(loaded, asked, times):
    queries = []
    for kind, pairs in asked * times:
        with contextlib.suppress(Incorrect):
            queries.append(parse.understand(kind, pairs, now=NOW).query)
    loaded.store._searches._frequencies = Told(frequent=False)

    async def together():
        return await asyncio.gather(*(loaded.store.search(query) for query in queries))

    async def alone(query):
        async with loaded.store._searches._connections.session() as connection:
            return await loaded.store._searches.on(connection, query)

    for query, page in zip(queries, loaded.runner.run(together()), strict=True):
        by_itself = loaded.runner.run(alone(query))
        assert replace(page, as_of=None) == replace(by_itself, as_of=None), query
        assert page.as_of.snapshot == by_itself.as_of.snapshot if page.versions else not by_itself.versions


def in_order(query: Query, found) -> None:
    if query.order:
        in_order_of_keys(query, found)
        return
    by_update = query.sort in {Sort.NEWEST, Sort.OLDEST}
    keys = [version.last_updated if by_update else extract(json.loads(version.body)).date_low for version in found]
    dated = [key for key in keys if key is not None]
    assert keys == dated + [None] * (len(keys) - len(dated)), "those without a date come last"
    newest = query.sort in {Sort.NEWEST, Sort.DATE_NEWEST}
    assert all(one >= two if newest else one <= two for one, two in pairwise(dated))


def in_order_of_keys(query: Query, found) -> None:
    """Each pair of neighbours by `sort_key`, the first key that differs; what has no value comes last."""

    def key(resource, by):
        value = sort_key(resource, by.parameter, descending=by.descending) if by.parameter != "_id" else resource["id"]
        kind = parameters.of(query.type).get(by.parameter).kind
        return value[:KEY_CHARACTERS] if kind is parameters.Kind.STRING and value and by.parameter != "_id" else value

    resources = [json.loads(version.body) for version in found]
    for one, two in pairwise(resources):
        for by in query.order:
            left, right = key(one, by), key(two, by)
            if left == right:
                continue
            assert right is None or (left is not None and (left > right) is by.descending), (query.order, left, right)
            break


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_sortable_parameter_is_an_order_both_ways_page_by_page(loaded, kind):
    loaded.store._searches._frequencies = Told(frequent=True)
    everything = sorted(resource["id"] for resource in loaded.resources[kind])
    for name in [one.name for one in parameters.of(kind).all() if one.sortable]:
        for text in (name, f"-{name}", f"{name},-_tag" if name != "_tag" else "_tag,-_id"):
            query = replace(parse.parse(kind, [("_sort", text)]), count=23)
            found = loaded.pages(query)
            assert sorted(version.id for version in found) == everything, text
            in_order(query, found)


def test_every_parameter_of_every_type_can_be_sorted_by_or_is_refused(loaded):
    for kind in parameters.types():
        for one in parameters.of(kind).all():
            if one.sortable:
                query = replace(parse.parse(kind, [("_sort", f"-{one.name}")]), count=1)
                loaded.runner.run(loaded.store.search(query))
            else:
                with pytest.raises(Incorrect):
                    parse.parse(kind, [("_sort", one.name)])


def test_the_questions_met_something():
    """After the law, in the order of this file: its questions were no empty ones."""
    assert met["with matches"] > 150, met
    assert met["without"] > 40, met
    assert min(met[sort] for sort in (*Sort, "keys")) > 10, met


def test_a_page_stands_still_while_others_write(loaded):
    """Keyset paging: what is new does not push shown ones onto the next page."""
    query = replace(parse.parse("Condition", [("_sort", "_lastUpdated")]), count=10)
    first = loaded.runner.run(loaded.store.search(query))
    loaded.apply({"resourceType": "Condition", "id": "new", "subject": {"reference": "Patient/p1"}})
    rest = loaded.pages(replace(query, after=After(first.last_key, first.last_rid)))
    shown = [version.id for version in (*first.versions, *rest)]
    assert len(shown) == len(set(shown))
    assert shown[-1] == "new"
    loaded.apply({"resourceType": "Condition", "id": "new"}, minute=5, deleted=True)
