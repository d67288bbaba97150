"""The law of search without a store: on the R4 examples, the index finds exactly what `match` says, and what an example
itself states finds it.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections import Counter
from decimal import Decimal

import pytest

from gateway.errors import Incorrect
from gateway.search import parameters, parse, stated
from gateway.search.index import extract
from gateway.search.match import match
from gateway.search.parameters import Kind
from gateway.search.query import CompositeTerm, Measure, NearTerm, TextTerm
from tests.corpus import corpus_folder
from tests.unit.found import found, holds

NOW = dt.datetime(2026, 3, 29, 12, tzinfo=dt.UTC)
MISSES = ("nothing-like-it", "true", "Patient/example", "2015", "1", "http://nothing.example")


@functools.cache
def examples():
    files = sorted(corpus_folder("fhir-r4-examples").glob("*.json"))
    found = [json.loads(path.read_bytes(), parse_float=Decimal) for path in files]
    return [resource for resource in found if resource.get("resourceType") in parameters.types()]


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace(",", "\\,").replace("$", "\\$")


def token_forms(value, place):
    for system, code in stated.codes(value, place.type):
        plain = escape(code)
        yield "", plain, True
        yield ":not", plain, False
        yield "", f"http://other|{plain}", None
        yield "", f"|{plain}", system == "" or None
        if system:
            yield "", f"{escape(system)}|{plain}", True
            yield "", f"{escape(system)}|", True
    for told in stated.texts(value, place.type) if isinstance(value, dict) else ():
        yield ":text", escape(told), True
    if place.type == "Identifier":
        for system, code in stated.codes(value.get("type"), "CodeableConcept"):
            if system and "value" in value:
                yield ":of-type", f"{escape(system)}|{escape(code)}|{escape(value['value'])}", True


def reference_forms(value, place):
    for target in stated.targets(value, place):
        yield "", escape(target), True
        yield "", escape(target.rsplit("/", 1)[-1]), None
    if isinstance(value, dict):
        for system, number in stated.codes(value.get("identifier"), "Identifier"):
            yield ":identifier", escape(number), None
            yield ":identifier", f"{escape(system)}|{escape(number)}", None


def date_forms(value, place):
    if interval := stated.interval(value, place.type):
        for prefix in ("", "gt", "le", "sa", "ne", "ap", "eb"):
            for moment in interval:
                yield "", f"{prefix}{moment:%Y-%m-%d}", None


def string_forms(value, place):
    for text in stated.strings(value, place.type):
        if not text.strip():
            continue
        yield "", escape(text), True
        yield "", escape(text[:3].upper()), True
        yield ":contains", escape(text[1:-1].lower() or text), True
        yield ":exact", escape(text), True
        yield ":exact", escape(text[:-1]), None
        yield ":text", escape(text), True


def uri_forms(value, place):
    yield "", escape(value), True
    yield ":below", escape(value), True
    yield ":above", escape(value + "/x/y"), True
    yield ":below", escape(value.rsplit("/", 1)[0]), "/" in value or None


def amount_forms(value, place):
    found = next(stated.measures(parameters.of("Observation").get("value-quantity"), [(place, value)]), None)
    if found is None:
        return
    measure: Measure = found
    ends = [end for end in (measure.low, measure.high) if end is not None]
    point = measure.low == measure.high
    for end in ends:
        yield "", f"{end}", point or None
        for prefix in ("ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"):
            yield "", f"{prefix}{end}", True if point and prefix in {"ge", "le", "ap"} else None
        if place.type not in {"integer", "decimal"}:
            yield "", f"{end}|{escape(measure.system)}|{escape(measure.code)}", (point and bool(measure.code)) or None
            yield (
                "",
                f"{end}||{escape(measure.code or measure.unit)}",
                (point and bool(measure.code or measure.unit)) or None,
            )
            yield "", f"ge{end}||other", False


FORMS = {
    Kind.TOKEN: token_forms, Kind.REFERENCE: reference_forms, Kind.DATE: date_forms, Kind.STRING: string_forms, Kind.URI: uri_forms,
    Kind.NUMBER: amount_forms, Kind.QUANTITY: amount_forms,
}  # fmt: skip


def questions(resource):
    """Every value of every parameter as a question in each of its forms, with what the answer must be where that is
    plain, and some that miss: (name with modifier, value, expected or None).
    """
    for parameter in parameters.of(resource["resourceType"]).all():
        if parameter.kind not in FORMS or parameter.name in {"_id", "_lastUpdated"} or not parameter.paths:
            continue
        yield f"{parameter.name}:missing", "true", not stated.stands(parameter, resource)
        yield f"{parameter.name}:missing", "false", stated.stands(parameter, resource)
        asked = {("", text): None for text in MISSES}
        for place, value in stated.found(parameter, resource):
            for modifier, text, expected in FORMS[parameter.kind](value, place):
                asked[modifier, text] = asked.get((modifier, text)) or expected
        for (modifier, text), expected in asked.items():
            yield parameter.name + modifier, text, expected if modifier != ":not" else None


@functools.lru_cache(maxsize=100_000)
def understood(kind, name, text):
    try:
        return parse.understand(kind, [(name, text)], now=NOW).query
    except Incorrect:
        return None


@pytest.mark.corpus
def test_every_r4_example_is_found_by_exactly_what_match_says():
    met: Counter[object] = Counter()
    resources = examples()
    assert len(resources) > 500
    for resource in resources:
        index = extract(resource)
        for name, text, own in questions(resource):
            told = (resource["resourceType"], resource.get("id"), name, text)
            query = understood(resource["resourceType"], name, text)
            if query is None:
                assert not own, told
                continue
            expected = match(query, resource)
            assert own is None or own is expected, told
            kind = parameters.of(resource["resourceType"]).get(name.partition(":")[0]).kind
            met[kind, expected] += 1
            if not any(isinstance(term, TextTerm) for term in query.terms):
                assert found(index, query) is expected, told
    for kind in FORMS:
        assert min(met[kind, True], met[kind, False]) > (10 if kind is Kind.NUMBER else 100), met


def component_forms(parameter, component, element, resource):
    """Values of one component of one element, as written in a question."""
    inner = parameters.of(parameter.base).get(component.name)
    places = [(place, element) for place in component.paths] + [(place, resource) for place in component.apart]
    for place, start in places:
        for value in stated.walk(start, place.steps):
            match inner.kind:
                case Kind.TOKEN:
                    yield from (escape(code) for _, code in stated.codes(value, place.type))
                case Kind.QUANTITY | Kind.NUMBER:
                    yield from (f"{m.low}" for m in stated.measures(inner, [(place, value)]) if m.low == m.high)
                case Kind.STRING:
                    yield from (escape(text) for text in stated.strings(value, place.type))
                case Kind.REFERENCE:
                    yield from (escape(target) for target in stated.targets(value, place))
                case Kind.DATE:
                    yield from ([value] if isinstance(value, str) else [])


@pytest.mark.corpus
def test_composites_hold_within_one_element_and_the_index_knows_what_follows_from_them():
    hits = apart = 0
    for resource in examples():
        index, kind = extract(resource), resource["resourceType"]
        for parameter in parameters.of(kind).all():
            if parameter.kind is not Kind.COMPOSITE:
                continue
            elements = [
                [sorted({*component_forms(parameter, part, element, resource)}) for part in parameter.components]
                for place in parameter.paths
                for element in stated.walk(resource, place.steps)
            ]
            rows = {tuple(each[0] for each in element) for element in elements if all(element)}
            mixed = {
                (one[0], *(each[0] for each in other[1:]))
                for one in elements
                for other in elements
                if one[0]
                for one in [[one[0][0]]]
                if all(other)
            }
            for row in rows | mixed:
                query = parse.parse(kind, [(parameter.name, "$".join(row))])
                (term,) = query.terms
                assert isinstance(term, CompositeTerm)
                expected = match(query, resource)
                if row in rows:
                    hits += 1
                    assert expected, (kind, resource.get("id"), parameter.name, row)
                    assert all(holds(index, part, kind) for part in term.values[0]), (kind, resource.get("id"), row)
                else:
                    apart += not expected
    assert hits > 20, hits
    assert apart > 5, apart


@pytest.mark.corpus
def test_places_texts_and_contents_of_the_examples():
    near = texts = 0
    for resource in examples():
        kind = resource["resourceType"]
        if kind == "Location" and "position" in resource:
            at = resource["position"]
            (term,) = (query := parse.parse(kind, [("near", f"{at['latitude']}|{at['longitude']}|1|m")])).terms
            assert isinstance(term, NearTerm)
            assert match(query, resource)
            assert not match(parse.parse(kind, [("near", f"{-at['latitude']}|{at['longitude']}|100|km")]), resource)
            near += 1
        narrative = stated.narrative(resource).split()
        if narrative and kind not in {"Bundle", "Parameters", "Binary"}:
            word = next((word for word in narrative if word.isalnum()), None)
            if word:
                assert match(parse.parse(kind, [("_text", word)]), resource)
                assert match(parse.parse(kind, [("_content", word)]), resource)
                assert not match(parse.parse(kind, [("_text", "xyzzy-nowhere")]), resource)
                texts += 1
    assert near >= 1
    assert texts > 300


@pytest.mark.corpus
def test_every_reference_that_a_search_finds_is_one_that_an_include_follows():
    followed = 0
    for resource in examples():
        kind = resource["resourceType"]
        every = stated.references(resource, "*")
        for parameter in parameters.of(kind).all():
            if parameter.kind is Kind.REFERENCE:
                for target in stated.references(resource, parameter.name):
                    assert target in every
                    if target not in {"", "Bundle"} and "/" in target:
                        assert match(parse.parse(kind, [(parameter.name, escape(target))]), resource), (kind, target)
                        followed += 1
    assert followed > 500
