"""The words of texts: whatever `match` finds has a token that tells of each word asked for; what is told names nobody."""

from __future__ import annotations

import functools
import json
import random
import re
from collections import defaultdict
from decimal import Decimal

import pytest

from gateway.search import parameters, stated, words
from gateway.search.index import extract
from gateway.search.match import match
from gateway.search.query import Query, TextTerm
from tests.corpus import corpus_folder


@functools.cache
def examples():
    files = sorted(corpus_folder("fhir-r4-examples").glob("*.json"))
    found = [json.loads(path.read_bytes(), parse_float=Decimal) for path in files]
    return [(one, extract(one)) for one in found if one.get("resourceType") in parameters.types()]


@functools.cache
def dictionary():
    """(type, parameter, word) → tokens, as a store keeps it."""
    found = defaultdict(set)
    for _, index in examples():
        for told in index.told:
            for parameter, token, word in told.rows:
                found[told.type, parameter, word].add(token)
    return found


@functools.cache
def by_type():
    found = defaultdict(list)
    for (kind, parameter, word), tokens in dictionary().items():
        found[kind].append((parameter, word, tokens))
    return found


def told(kind, names, word, *, whole):
    """Every token that tells of a word in the texts of some parameters, and of its beginning."""
    tokens = {words.beginning(word)}
    for parameter, known, by in by_type()[kind]:
        if (not names or parameter in names) and (known == word if whole else known.startswith(word)):
            tokens |= by
    return tokens


def narrowed(resource, index, parameter, text):
    """What the store asks of a resource before it reads the body."""
    names = words.parameters_of(parameter)
    held = {*index.tokens, index.code}
    return names is None or all(
        words.beginning(word) is None or held & told(resource["resourceType"], names, word, whole=whole)
        for word, whole in words.asked(text)
    )


def pieces(text, chance):
    """Beginnings of a text, from a word of it on: what a question may ask and find it."""
    at = [0, *(found.end() for found in re.finditer(" ", text))]
    for start in chance.sample(at, min(len(at), 4)):
        rest = text[start : start + 60]
        yield rest[: chance.randrange(3, 20)].strip()
        yield rest.strip()


def test_whatever_match_finds_has_a_token_for_each_word_in_all_examples():
    chance, asked = random.Random(5), 0
    for resource, index in examples():
        known = parameters.of(resource["resourceType"])
        for parameter in known.all():
            if parameter.name == "_content":
                texts = [stated.content(resource)]
            elif parameter.name == "_text":
                texts = [stated.narrative(resource)]
            elif parameter.kind in {parameters.Kind.TOKEN, parameters.Kind.REFERENCE}:
                texts = [
                    one for place, value in stated.found(parameter, resource) for one in stated.texts(value, place.type)
                ]
            else:
                continue
            for piece in {one for text in texts if text for one in pieces(text, chance)} - {""}:
                query = Query(resource["resourceType"], (TextTerm(parameter.name, (piece,)),))
                assert match(query, resource), (parameter.name, piece)
                assert narrowed(resource, index, parameter, piece), (
                    resource["resourceType"],
                    resource.get("id"),
                    parameter.name,
                    piece,
                )
                asked += words.parameters_of(parameter) is not None
    assert asked > 10_000, asked


def test_most_resources_have_no_token_of_a_rare_word():
    """Otherwise the law above would hold of an index that finds everything."""
    observations = [(one, index) for one, index in examples() if one["resourceType"] == "Observation"]
    content = parameters.of("Observation").get("_content")
    for word in ("glucose", "erythrocytes", "reflex"):
        kept = [one for one, index in observations if narrowed(one, index, content, word)]
        right = [one for one, _ in observations if f" {word}" in f" {stated.content(one)}"]
        assert len(kept) <= 1.2 * len(right) + 1, word
        assert right, word


def test_no_number_of_somebody_is_told():
    codes = {
        word
        for one, _ in examples()
        for code in re.findall(r'"(?:code|value[A-Za-z]*|status|type)": "([^"]*)"', json.dumps(one, default=str))
        for word in stated.fold(code).split()
    }
    for kind, parameter, word in dictionary():
        if not word.startswith(" ") and sum(map(str.isdigit, word)) > 3:
            assert parameter != words.ANY_TEXT, (kind, word)
            assert word in codes, (kind, parameter, word)


PERSON = {
    "resourceType": "Condition", "id": "0101909921", "subject": {"reference": "Patient/0101909921", "display": "Bo Bodilsen 010190-9921"},
    "identifier": [{"system": "urn:oid:1.2.208.176.1.2", "value": "0101909921"}],
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003", "display": "Hypertension"}], "text": "Forhøjet blodtryk, cpr 010190 9921"},
    "note": [{"text": "Ring til 010190-9921 eller 01 01 90 99 21"}], "recordedDate": "2026-03-29",
}  # fmt: skip


def test_a_number_in_a_text_is_found_and_not_told():
    index = extract(PERSON)
    told_words = {word for one in index.told for _, _, word in one.rows if not word.startswith(" ")}
    assert {"hypertension", "forhøjet", "blodtryk,", "bodilsen", "38341003"} <= told_words
    digits = {word for word in told_words if re.search("[0-9]", word)}
    assert digits == {"38341003"}
    beginnings = {words.beginning("010190-9921"), words.beginning("9921")}
    assert beginnings <= set(index.tokens)


@pytest.mark.parametrize(
    ("text", "finds"),
    [("hypertension", True), ("forhøjet blod", True), ("010190 9921", True), ("38341003", True), ("patient/0101909921", False), ("2026-03-29", False), ("http://snomed.info/sct", False)],
)  # fmt: skip
def test_content_is_what_a_reader_reads(text, finds):
    assert match(Query("Condition", (TextTerm("_content", (text,)),)), PERSON) is finds


LONG = {
    "resourceType": "Condition", "subject": {"reference": "Patient/p"}, "note": [{"text": "n" * 90 + " x"}],
    "code": {"coding": [{"system": "urn:x", "code": "c" * 60, "display": "d" * 80 + " end"}]},
}  # fmt: skip


@pytest.mark.parametrize("text", ["c" * 45, "c" * 60, "d" * 80 + " e", "d" * 41, "n" * 90 + " x", "n" * 3])
def test_long_words_are_found_by_as_much_as_is_told_of_them(text):
    index = extract(LONG)
    tokens = {*index.tokens, index.code}
    rows = [row for told in index.told for row in told.rows]
    assert match(Query("Condition", (TextTerm("_content", (text,)),)), LONG)
    for word, whole in words.asked(text):
        telling = {at for _, at, known in rows if (known == word if whole else known.startswith(word))}
        assert words.beginning(word) is None or tokens & {*telling, words.beginning(word)}, word
    assert all(len(word) <= words.WORD_MAX for _, _, word in rows)


def test_an_element_of_another_shape_is_no_error():
    odd = {"resourceType": "Condition", "code": {"coding": ["x", {"code": 1, "display": ["y"]}, None], "text": {"a": "b"}}, "subject": ["x", None], "note": [[{"text": "deep"}]], "category": "x"}  # fmt: skip
    assert extract(odd).code is None
