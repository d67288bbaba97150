"""The whole search language as a query: modifiers, chains, `_has`, includes, orders, composites, amounts, shapes."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.search import keys, parameters, parse, results, terms
from gateway.search.query import (
    Amount,
    AnyTerm,
    ChainTerm,
    CompositeTerm,
    DateTerm,
    HasTerm,
    How,
    IdTerm,
    Include,
    MissingTerm,
    NearTerm,
    NotTerm,
    NumberTerm,
    Prefix,
    QuantityTerm,
    ReferenceTerm,
    Sort,
    SortBy,
    StringTerm,
    TextTerm,
    TokenTerm,
    fold,
    reference,
    token,
)  # fmt: skip

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Codes:
    """Two codes of which one is above the other, and their value set."""

    def expand(self, value_set):
        if value_set != "http://vs":
            raise errors.Incorrect("no such value set")
        return [("s", "a"), ("s", "b")]

    def below(self, system, code):
        return [(system, code), *([(system, "b")] if code == "a" else [])]

    def above(self, system, code):
        return [(system, code), *([(system, "a")] if code == "b" else [])]


def one(kind: str, name: str, value: str):
    (term,) = parse.understand(kind, [(name, value)], now=NOW, codes=Codes()).query.terms
    return term


def tokens(name, *pairs):
    return TokenTerm(name, tuple(token(name, *pair) for pair in pairs))


# strings, addresses


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


# codes


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


# amounts


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


# composites, places, texts


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


# chains


def test_a_chain_to_patients_is_asked_by_patient():
    name = StringTerm("name", ("x",))
    assert one("Observation", "subject:Patient.name", "x") == ChainTerm("patient", "Patient", name)
    assert one("Observation", "patient.name", "x") == ChainTerm("patient", "Patient", name)
    assert one("Observation", "subject:Location.name", "x") == ChainTerm("subject", "Location", name)
    assert one("Observation", "patient._id", "x") == ChainTerm("patient", "Patient", IdTerm(("x",)))
    (updated,) = (one("Observation", "patient._lastUpdated", "gt2020").term,)
    assert isinstance(updated, DateTerm)


def test_a_chain_without_a_type_means_every_target_that_has_the_parameter():
    term = one("Observation", "subject.name", "x")
    assert {(chain.parameter, chain.type) for chain in term.terms} == {("patient", "Patient"), ("subject", "Location")}
    term = one("Observation", "subject.identifier", "x")
    assert {chain.type for chain in term.terms} == {"Patient", "Group", "Device", "Location"}


def test_chains_of_any_length_within_the_limit():
    term = one("Observation", "encounter.service-provider.partof.name:exact", "X")
    assert term == ChainTerm(
        "encounter", "Encounter",
        ChainTerm("service-provider", "Organization", ChainTerm("partof", "Organization", StringTerm("name", ("X",), How.EXACT))),
    )  # fmt: skip
    deep = "partof." * keys.CHAIN_DEPTH_MAX + "name"
    assert one("Organization", deep, "x")
    with pytest.raises(errors.Incorrect, match="at most"):
        one("Organization", "partof." + deep, "x")


def test_has():
    code = TokenTerm("code", (token("code", None, "x"),), (token("code", None, "x"),))
    assert one("Patient", "_has:Observation:patient:code", "x") == HasTerm("Observation", "patient", code)
    assert one("Patient", "_has:Observation:subject:code", "x") == HasTerm("Observation", "patient", code)
    assert one("Group", "_has:Observation:subject:code", "x") == HasTerm("Observation", "subject", code)
    nested = one("Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent", "Practitioner/p")
    assert (nested.term.type, nested.term.parameter) == ("AuditEvent", "entity")
    within = one("Encounter", "patient._has:Group:member:_id", "g")
    assert within == ChainTerm("patient", "Patient", HasTerm("Group", "member", IdTerm(("g",))))
    assert one("Patient", "_list", "a,b") == HasTerm("List", "item", IdTerm(("a", "b")))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Observation", "code.name"), ("Observation", "subject:Practitioner.name"), ("Observation", "subject:Nobody.name"), ("Observation", "subject.colour"),
        ("Observation", "subject."), ("Observation", ".name"), ("Observation", "subject:Patient.name:nonsense"), ("Observation", "patient.name.family"),
        ("Provenance", "target.date"), ("Patient", "_has"), ("Patient", "_has:"), ("Patient", "_has:Observation"), ("Patient", "_has:Observation:patient"),
        ("Patient", "_has:Observation:code:code"), ("Patient", "_has:Observation:encounter:code"), ("Patient", "_has:Cat:patient:code"),
        ("Patient", "_has:Observation:patient:colour"), ("Observation", "instantiates.name"), ("ActivityDefinition", "derived-from.name"),
        ("Patient", "_has:" * 500), ("Patient", "a." * 500), ("Patient", "_query"), ("Patient", "_type"), ("Patient", "_list:not"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused_by_name(kind, name):
    with pytest.raises(errors.Incorrect) as refused:
        parse.parse(kind, [(name, "x")])
    assert refused.value.at


def test_a_chain_has_so_many_ends_and_no_more():
    pairs = [("subject.identifier", ",".join(f"{n}" for n in range(90)))] * 26
    with pytest.raises(errors.Incorrect, match=str(keys.ENDS_MAX)):
        parse.parse("Observation", pairs)


# the answer


def test_includes():
    def includes(*pairs):
        return parse.parse("Observation", pairs).includes

    assert includes(("_include", "Observation:subject")) == (Include("Observation", "subject"),)
    assert includes(("_include", "Observation:subject:Patient")) == (Include("Observation", "subject", "Patient"),)
    assert includes(("_include:iterate", "Patient:organization")) == (Include("Patient", "organization", iterate=True),)
    assert includes(("_revinclude", "Provenance:target")) == (Include("Provenance", "target", reverse=True),)
    assert includes(("_include", "*")) == includes(("_include", "Observation:*")) == (Include("Observation", "*"),)
    for wrong in (
        "x",
        "Observation",
        "Observation:code",
        "Observation:colour",
        "Observation:subject:Practitioner",
        "Cat:x",
        "Observation:subject:Cat",
    ):
        with pytest.raises(errors.Incorrect):
            includes(("_include", wrong))
    with pytest.raises(errors.Incorrect):
        includes(("_include:recurse", "Observation:subject"))
    assert includes(("_revinclude", "*")) == (Include("*", "*", reverse=True),)


def test_orders():
    def order(kind, text):
        query = parse.parse(kind, [("_sort", text)])
        return query.sort, query.order

    assert order("Patient", "family,-birthdate,_id") == (
        Sort.NEWEST, (SortBy("family"), SortBy("birthdate", descending=True), SortBy("_id")),
    )  # fmt: skip
    assert order("Observation", "-value-quantity") == (Sort.NEWEST, (SortBy("value-quantity", descending=True),))
    assert order("Observation", "-date") == (Sort.DATE_NEWEST, ())
    assert order("Observation", "-date,_lastUpdated")[1] == (SortBy("date", descending=True), SortBy("_lastUpdated"))
    assert order("Patient", "phonetic")[1] == (SortBy("name"),)
    assert order("Observation", "code,-subject")[1] == (SortBy("code"), SortBy("subject", descending=True))
    assert order("Observation", "combo-value-quantity")[1] == (SortBy("combo-value-quantity"),)
    with pytest.raises(errors.Incorrect, match="by a composite: sort by its components"):
        parse.parse("Observation", [("_sort", "code-value-quantity")])
    for wrong in (
        "colour",
        "date,date",
        "-",
        ",",
        "family",
        "date:missing",
        "_text",
        "_content",
        "component-code-value-quantity",
        "value-quantity," * 9,
    ):
        with pytest.raises(errors.Incorrect):
            parse.parse("Observation", [("_sort", wrong)])


def test_the_shape_of_the_answer():
    asked = parse.understand(
        "Patient", [("_summary", "text"), ("_elements", "name,birthDate"), ("_format", "xml"), ("_pretty", "true"), ("_contained", "false")]
    )  # fmt: skip
    assert asked.shape == results.Shape(results.Summary.TEXT, ("name", "birthDate"), "xml", pretty=True)
    assert parse.understand("Patient", []).shape == results.Shape()
    assert parse.understand("Patient", [("_summary", "count")]).query.count == 0
    for name, value in (
        ("_summary", "all"),
        ("_elements", "a,,b"),
        ("_contained", "true"),
        ("_containedType", "x"),
        ("_pretty", "1"),
        ("_elements", "a b"),
    ):
        with pytest.raises(errors.Incorrect):
            parse.understand("Patient", [(name, value)])


def test_a_search_of_several_types_has_what_all_of_them_have():
    asked = parse.understand_system([("_type", "Observation,Condition"), ("patient", "p"), ("_lastUpdated", "gt2020")])
    assert [one.query.type for one in asked] == ["Observation", "Condition"]
    assert {one.query.terms for one in asked} == {(ReferenceTerm("patient", (reference("patient", "Patient/p"),)),)}
    assert {one.query.sort for one in asked} == {Sort.NEWEST}
    assert ("_type", "Observation,Condition") in asked[0].used
    with pytest.raises(errors.Incorrect):
        parse.understand_system([("_type", "Observation,Patient"), ("code", "x")])
    lenient = parse.understand_system([("_type", "Observation,Patient"), ("code", "x"), ("_id", "a")], lenient=True)
    assert all(one.used == [("_type", "Observation,Patient"), ("_id", "a")] and one.ignored for one in lenient)
    for pairs in (
        [],
        [("_type", "Cat")],
        [("_type", "Patient"), ("_sort", "birthdate")],
        [("_type", ",".join(parameters.types()))],
    ):
        with pytest.raises(errors.Incorrect):
            parse.understand_system(pairs)


@pytest.mark.parametrize(
    "name",
    [
        "family",
        "name",
        "identifier",
        "telecom",
        "address-city",
        "_content",
        "identifier:of-type",
        "_has:Person:patient:name",
        "general-practitioner.name",
    ],
)
def test_what_may_name_a_person_is_private(name):
    value = "s|c|v" if name.endswith("of-type") else "x"
    assert parse.understand("Patient", [(name, value)]).private


# never a crash

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
