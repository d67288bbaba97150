"""`_filter` as a tree of terms (R4 search_filter), or refused."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.search import filters, parse
from gateway.search.query import (
    AllTerm,
    AnyTerm,
    ChainTerm,
    DateTerm,
    HasTerm,
    How,
    IdTerm,
    MissingTerm,
    NotTerm,
    Prefix,
    QuantityTerm,
    ReferenceTerm,
    StringTerm,
    TokenTerm,
    reference,
    token,
)  # fmt: skip
from tests.unit.search_asked import Codes

LOINC = "http://loinc.org"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PETER = StringTerm("given", ("peter",), How.EQUALS)


def filtered(kind: str, text: str):
    (term,) = parse.understand(kind, [("_filter", text)], now=NOW, codes=Codes()).query.terms
    return term


def test_the_examples_of_the_specification():
    assert filtered("Patient", 'name co "pet"') == StringTerm("name", ("pet",), How.CONTAINS)
    both = filtered("Patient", 'given eq "peter" and birthdate ge 2014-10-10')
    assert both.terms[0] == PETER
    assert (both.terms[1].parameter, both.terms[1].values[0][0]) == ("birthdate", Prefix.GE)
    loinc = filtered("Observation", "code eq http://loinc.org|1234-5")
    assert loinc.values == (token("code", LOINC, "1234-5"),)
    assert filtered("Observation", "code eq loinc|1234-5") == loinc
    assert (
        ChainTerm("patient", "Patient", StringTerm("name", ("pet",), How.CONTAINS))
        in filtered("Observation", 'subject.name co "pet"').terms
    )


def test_and_and_or_are_read_from_left_to_right():
    one, two, three = (IdTerm((name,)) for name in "abc")
    assert filtered("Patient", "_id eq a or _id eq b and _id eq c") == AllTerm((AnyTerm((one, two)), three))
    assert filtered("Patient", "_id eq a or (_id eq b and _id eq c)") == AnyTerm((one, AllTerm((two, three))))
    assert filtered("Patient", "not (_id eq a)and not(_id eq b)") == AllTerm((NotTerm(one), NotTerm(two)))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Patient", "given sw pet", StringTerm("given", ("pet",), How.STARTS)),
        ("Patient", "given ew Ter", StringTerm("given", ("ter",), How.ENDS)),
        ("Patient", r'given eq "a,b|c \"d\" ) æ"', StringTerm("given", ('a,b|c "d" ) æ',), How.EQUALS)),
        ("Patient", "given ne peter", AllTerm((MissingTerm("given", missing=False), NotTerm(PETER)))),
        ("Patient", "birthdate pr true", MissingTerm("birthdate", missing=False)),
        ("Patient", "birthdate pr false", MissingTerm("birthdate", missing=True)),
        ("Observation", "subject re Patient/x", ReferenceTerm("patient", (reference("patient", "Patient/x"),))),
        ("Condition", "category in http://vs", TokenTerm("category", (token("category", "s", "a"), token("category", "s", "b")))),
        ("Condition", "category ss s|a", TokenTerm("category", (token("category", "s", "a"), token("category", "s", "b")))),
        ("Condition", "category sb s|b", TokenTerm("category", (token("category", "s", "b"), token("category", "s", "a")))),
        ("Condition", "category ni http://vs", NotTerm(TokenTerm("category", (token("category", "s", "a"), token("category", "s", "b"))))),
        ("ValueSet", "url eq http://a|1", TokenTerm("url", (token("url", None, "http://a|1"),))),
    ],
)  # fmt: skip
def test_operators(kind, text, expected):
    assert filtered(kind, text) == expected


def test_po_overlaps_without_widening():
    term = filtered("Observation", "date po 2025")
    assert isinstance(term, DateTerm)
    ((prefix, low, high),) = term.values
    assert (prefix, high - low) == (Prefix.AP, dt.timedelta(days=365))


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"])
def test_amounts_and_dates_have_all_prefixes(operator):
    term = filtered("Observation", f"value-quantity {operator} 5.4|http://unitsofmeasure.org|mg")
    assert isinstance(term, QuantityTerm)
    assert (term.values[0].prefix, term.values[0].code) == (operator, "mg")
    assert filtered("Observation", f"date {operator} 2020-01-01").values[0][0] == operator


def test_paths_with_links_and_filters_in_brackets():
    female = TokenTerm("gender", (token("gender", None, "female"),))
    named = StringTerm("family", ("x",), How.EQUALS)
    assert filtered("Observation", "subject:Patient[gender eq female].family eq x") == ChainTerm(
        "patient", "Patient", AllTerm((female, named))
    )
    deep = filtered("Observation", "encounter:Encounter.patient[gender eq female].family eq x")
    assert deep == ChainTerm("encounter", "Encounter", ChainTerm("patient", "Patient", AllTerm((female, named))))
    has = filtered("Patient", "_has:Observation:patient:code eq x and gender eq female")
    assert isinstance(has.terms[0], HasTerm)
    with pytest.raises(errors.Incorrect):
        filtered("Patient", "_has:Observation:patient[code eq x].code eq x")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Patient", text)
        for text in (
            "given", "given eq", "given xx peter", "colour eq blue", "given eq peter and", "(given eq peter", "given eq peter)", "given eq peter birthdate eq 2020",
            "and", "not given eq peter", "given:exact eq peter", "given gt peter", "gender co x", "gender sw x", "birthdate co 2020", "birthdate eq ge2020",
            "birthdate pr maybe", "general-practitioner co x", "given po x", "_text eq x", "[a eq b].c eq d", "general-practitioner[a eq b] eq c",
            "general-practitioner[].name eq c", 'given eq "unclosed', "_id in x", " ", "(" * 400, "not (" * 400 + "_id eq a", '""', 'given eq "\\ud800"',
            "_filter eq x", "_has eq x", "organization." * 40 + "name eq x", " and ".join(["_id eq a"] * (filters.TESTS_MAX + 1)), "x" * (filters.LENGTH_MAX + 1),
        )
    ] + [("Location", "near eq 1|2"), ("Condition", "category ss x"), ("Observation", "code-value-quantity co a$1")],
)  # fmt: skip
def test_what_is_no_filter_is_refused(kind, text):
    with pytest.raises(errors.Incorrect) as refused:
        parse.understand(kind, [("_filter", text)], codes=Codes())
    assert refused.value.at == "_filter"
    assert "peter" not in refused.value.text


WORDS = st.sampled_from(
    [
        "given",
        "eq",
        "ne",
        "and",
        "or",
        "not",
        "(",
        ")",
        "[",
        "]",
        ".",
        '"',
        "peter",
        "gender",
        "birthdate",
        "2020",
        "organization",
        "_has:Observation:patient:code",
        "pr",
        "true",
        "co",
        "\\",
    ]
)


@given(
    st.one_of(
        st.lists(WORDS, max_size=14).map(" ".join), st.lists(WORDS, max_size=14).map("".join), st.text(max_size=60)
    )
)
def test_any_text_is_a_filter_or_a_refusal(text):
    try:
        asked = parse.understand("Patient", [("_filter", text)], now=NOW)
    except errors.Refused:
        return
    assert hash(asked.query)
    assert asked.private or not text
