"""The search language as terms: strings, codes, amounts, composites, and never a crash."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.search import parameters, parse, results, terms
from gateway.search.query import (
    Amount,
    AnyTerm,
    CompositeTerm,
    How,
    MissingTerm,
    NearTerm,
    NotTerm,
    NumberTerm,
    Prefix,
    QuantityTerm,
    StringTerm,
    TextTerm,
    TokenTerm,
    fold,
    token,
)  # fmt: skip
from tests.unit.search_asked import LOINC, NOW, UCUM, Codes, one, tokens


def test_strings_are_folded_but_for_exact():
    assert one("Patient", "family", "Ågård,X") == StringTerm("family", ("agard", "x"))
    assert one("Patient", "family:contains", "ÅR") == StringTerm("family", ("ar",), How.CONTAINS)
    assert one("Patient", "family:exact", r"Aa\,b") == StringTerm("family", ("Aa,b",), How.EXACT)
    assert one("Patient", "phonetic", "x") == StringTerm("name", ("x",))
    assert one("Patient", "name:text", "Nancy A") == TextTerm("name", ("nancy a",))


def test_addresses_above_and_below():
    assert one("ValueSet", "url:below", "http://x/y") == StringTerm("url", ("http://x/y",), How.BELOW)
    above = one("ValueSet", "url:above", "http://x/y/z")
    assert set(above.values) == {
        token("url", None, a) for a in ("http://x/y/z", "http://x/y/", "http://x/y", "http://x/", "http://x")
    }
    assert one("ValueSet", "url:above", "urn:oid:1.2") == tokens("url", (None, "urn:oid:1.2"))


def test_modifiers_of_codes():
    assert one("Condition", "category:not", "a,s|b") == NotTerm(tokens("category", (None, "a"), ("s", "b")))
    assert one("Condition", "category:in", "http://vs") == tokens("category", ("s", "a"), ("s", "b"))
    assert one("Condition", "category:not-in", "http://vs") == NotTerm(tokens("category", ("s", "a"), ("s", "b")))
    assert one("Condition", "category:below", "s|a") == tokens("category", ("s", "a"), ("s", "b"))
    assert one("Condition", "category:above", "s|b") == tokens("category", ("s", "b"), ("s", "a"))
    assert one("Condition", "category:text", "Ill") == TextTerm("category", ("ill",))
    assert one("Patient", "identifier:of-type", "t|MR|1") == TokenTerm(
        "identifier", (token("identifier:of-type", "t|MR", "1"),)
    )
    assert one("Observation", "subject:identifier", "s|1") == TokenTerm(
        "subject", (token("subject:identifier", "s", "1"),)
    )


@pytest.mark.parametrize("modifier", ["in", "not-in", "above", "below"])
def test_value_sets_and_hierarchies_need_somebody_who_knows_them(modifier):
    with pytest.raises(errors.Incorrect, match="not supported"):
        parse.parse("Condition", [(f"category:{modifier}", "s|a")])


def test_what_the_terminology_refuses_is_refused():
    with pytest.raises(errors.Incorrect, match="no such value set"):
        one("Condition", "category:in", "http://other")


def test_any_code_of_a_system():
    assert one("Condition", "category", "s|") == tokens("category", ("s", ""))
    assert one("Observation", "status", "http://hl7.org/fhir/observation-status|") == MissingTerm(
        "status", missing=False
    )
    assert one("Observation", "status", "http://other|") == tokens("status", ("http://other", ""))
    mixed = one("Observation", "code", f"{LOINC}|,x")
    assert mixed == AnyTerm(
        (TokenTerm("code", (token("code", None, "x"),), (token("code", None, "x"),)), tokens("code", (LOINC, "")))
    )


def test_a_value_set_without_codes_finds_nothing():
    class Empty(Codes):
        def expand(self, value_set):
            return []

    query = parse.understand("Condition", [("category:in", "x")], codes=Empty()).query
    assert query.terms == (tokens("category", ("", "")),)


def test_missing():
    assert one("Observation", "code:missing", "true") == MissingTerm("code", missing=True)
    assert one("Observation", "combo-value-quantity:missing", "false") == MissingTerm(
        "combo-value-quantity", missing=False
    )
    assert parse.parse("Observation", [("_id:missing", "true")]).ids == ("",)


def amount(text, low, high, value=None, prefix=Prefix.EQ, **unit):
    return Amount(prefix, Decimal(value or text), Decimal(low), Decimal(high), **unit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", amount("100", "99.5", "100.5")), ("1e2", amount("1e2", "50", "150")), ("100.00", amount("100.00", "99.995", "100.005")),
        ("5.40e-3", amount("5.40e-3", "0.005395", "0.005405")), ("-5", amount("-5", "-5.5", "-4.5")), ("0", amount("0", "-0.5", "0.5")),
        ("ge2.5", amount("ge2.5", "2.45", "2.55", "2.5", Prefix.GE)), ("ap10", amount("ap10", "9", "11", "10", Prefix.AP)),
        ("ap-10", amount("ap-10", "-11", "-9", "-10", Prefix.AP)), ("+5", amount("5", "4.5", "5.5")), (" 5", amount("5", "4.5", "5.5")),
    ],
)  # fmt: skip
def test_a_number_covers_what_its_precision_says(text, expected):
    assert one("RiskAssessment", "probability", text) == NumberTerm("probability", (expected,))


def test_quantities_have_units():
    five = {"low": "5.35", "high": "5.45"}
    assert one("Observation", "value-quantity", "5.4") == QuantityTerm("value-quantity", (amount("5.4", **five),))
    assert one("Observation", "value-quantity", "5.4||mg").values == (amount("5.4", **five, system="", code="mg"),)
    assert one("Observation", "value-quantity", f"5.4|{UCUM}|mg").values == (
        amount("5.4", **five, system=UCUM, code="mg"),
    )
    assert one("Observation", "combo-value-quantity", "5.4") == AnyTerm(
        tuple(QuantityTerm(name, (amount("5.4", **five),)) for name in ("component-value-quantity", "value-quantity"))
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "5,",
        "5|x",
        "5|s|",
        "5||",
        "5|a|b|c",
        "1e999",
        "1e-999",
        "5.",
        ".5",
        "0x5",
        "٥",
        "9" * 60,
        "eq",
        "--5",
        "NaN",
        "Infinity",
    ],
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(errors.Incorrect):
        parse.parse("Observation", [("value-quantity", text), ("value-quantity", text or "x")])


def test_composites():
    (row,) = one("Observation", "code-value-quantity", f"{LOINC}|8480-6$gt140").values
    code, value = row
    assert code.values == (token("code", LOINC, "8480-6"),)
    assert value.values[0].prefix is Prefix.GT
    assert len(one("Observation", "code-value-quantity", "a$1,b$2").values) == 2
    assert isinstance(one("Group", "characteristic-value", r"a\$b$c"), CompositeTerm)
    for wrong in ("a", "a$", "a$1$2", "$1"):
        with pytest.raises(errors.Incorrect):
            parse.parse("Observation", [("code-value-quantity", wrong)])


def test_near():
    assert one("Location", "near", "56.15|10.2|5|km") == NearTerm("near", Decimal("56.15"), Decimal("10.2"), Decimal(5))
    assert one("Location", "near", "56.15|10.2|500|m").kilometres == Decimal("0.5")
    assert one("Location", "near", "56.15|-10.2").kilometres == 50
    for wrong in ("x|y", "91|0", "0|181", "1", "1|2|3|mg", "1|2|-3", "gt1|2", "1|2|3|km|x", "||"):
        with pytest.raises(errors.Incorrect):
            parse.parse("Location", [("near", wrong)])


def test_texts():
    assert one("Patient", "_text", "Ond  ryg,Feber") == TextTerm("_text", ("ond ryg", "feber"))
    assert one("Binary", "_content", "x") == TextTerm("_content", ("x",))
    with pytest.raises(errors.Incorrect):
        parse.parse("Binary", [("_text", "x")])  # it has no narrative


CHARACTERS = st.text(alphabet=st.sampled_from(r"aZ09|,$\.:-_/ ()[]+*%é" + "\0\ud800\u2028"), max_size=20)
NAMES = st.one_of(
    st.sampled_from(
        sorted(
            {p.name for k in ("Observation", "Patient", "Location") for p in parameters.of(k).all()}
            | {*results.ONCE, *results.INCLUDES, "_filter", "_list", "_has", "_type"}
        )
    ),
    CHARACTERS,
)
SUFFIXES = st.sampled_from(
    [
        "",
        ":not",
        ":Patient",
        ":missing",
        ".name",
        ":exact",
        ":of-type",
        ":in",
        ":below",
        ":identifier",
        ":iterate",
        ".",
        ":",
        ":Patient.name",
    ]
)
VALUES = st.one_of(
    CHARACTERS,
    st.text(max_size=30),
    st.sampled_from(
        [
            "true",
            "5|http://unitsofmeasure.org|mg",
            "ap5",
            "Patient/x",
            "a$b",
            "2020",
            "ge2020-02-30",
            "Observation:subject",
            "-date",
            "name eq x",
        ]
    ),
)


@given(
    st.sampled_from(["Observation", "Patient", "Location", "Bundle"]),
    st.lists(st.tuples(st.builds(str.__add__, NAMES, SUFFIXES), VALUES), max_size=4),
    st.booleans(),
)
def test_any_request_is_a_query_or_a_refusal_that_repeats_no_value(kind, pairs, lenient):
    try:
        asked = parse.understand(kind, pairs, lenient=lenient, now=NOW, codes=Codes(), base="https://x/fhir")
    except errors.Refused as refused:
        told = refused.text + refused.at
    else:
        told = str((hash(asked.query), hash(asked.shape)))
    assert told
    assert "\0" not in told


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper()) == fold(text.upper().lower()) or not text.isascii()


def test_limits_are_named():
    assert terms.VALUES_MAX == parse.VALUES_MAX
    with pytest.raises(errors.Incorrect, match=str(parse.VALUE_LENGTH_MAX)):
        parse.parse("Patient", [("name", "x" * (parse.VALUE_LENGTH_MAX + 1))])
