"""A search request as a query, or refused by name."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.search import parameters, parse
from gateway.search.query import DateTerm, Prefix, Query, ReferenceTerm, Sort, TokenTerm, reference, token

LOINC = "http://loinc.org"


def terms(kind: str, *pairs: tuple[str, str]):
    return parse.parse(kind, pairs).terms


def test_nothing_asked_is_everything_newest_update_first():
    assert parse.parse("Observation", []) == Query("Observation", sort=Sort.NEWEST, count=parse.COUNT_DEFAULT)


def test_token_forms():
    assert terms("Condition", ("category", "x")) == (TokenTerm("category", (token("category", None, "x"),)),)
    assert terms("Condition", ("category", "s|x")) == (TokenTerm("category", (token("category", "s", "x"),)),)
    assert terms("Condition", ("category", "|x")) == (TokenTerm("category", (token("category", "", "x"),)),)
    assert terms("Condition", ("category", "a,s|b")) == (
        TokenTerm("category", (token("category", None, "a"), token("category", "s", "b"))),
    )


def test_code_carries_the_hashes_of_its_column():
    (term,) = terms("Observation", ("code", f"{LOINC}|8480-6,8462-4"))
    assert term.values == (token("code", LOINC, "8480-6"), token("code", None, "8462-4"))
    assert term.codes == (token("code", None, "8480-6"), token("code", None, "8462-4"))


def test_a_union_of_parameters_is_asked_for_as_its_parts():
    (term,) = terms("Observation", ("combo-code", "8480-6"))
    assert term.values == (token("code", None, "8480-6"), token("component-code", None, "8480-6"))
    assert term.codes == term.values


def test_escapes():
    (term,) = terms("Patient", ("identifier", r"urn:a\|b|c\,d\\,e"))
    assert term.values == (token("identifier", "urn:a|b", "c,d\\"), token("identifier", None, "e"))


def test_the_implied_system_of_a_code_may_be_named():
    plain = terms("Observation", ("status", "final"))
    assert terms("Observation", ("status", "http://hl7.org/fhir/observation-status|final")) == plain
    assert terms("Observation", ("status", "http://example.org|final")) != plain
    assert terms("Patient", ("active", "http://terminology.hl7.org/CodeSystem/special-values|true")) == terms(
        "Patient", ("active", "true")
    )


def test_subject_of_a_patient_is_the_question_patient():
    patient = (ReferenceTerm("patient", (reference("patient", "Patient/x"),)),)
    assert terms("Observation", ("patient", "Patient/x")) == patient
    assert terms("Observation", ("patient", "x")) == patient
    assert terms("Observation", ("subject", "Patient/x")) == patient
    assert terms("Observation", ("subject:Patient", "x")) == patient
    assert terms("Observation", ("subject:Patient", "Patient/x")) == patient
    assert terms("Observation", ("subject", "Group/x")) == (
        ReferenceTerm("subject", (reference("subject", "Group/x"),)),
    )


def test_an_id_alone_means_any_type_that_the_parameter_may_name():
    (term,) = terms("Observation", ("subject", "x"))
    assert set(term.values) == {
        reference("patient", "Patient/x"), *(reference("subject", f"{kind}/x") for kind in ("Group", "Device", "Location")),
    }  # fmt: skip


def test_references_to_this_server_are_relative_ones():
    base = "https://gw.example/fhir"
    asked = parse.understand("Observation", [("patient", base + "/Patient/x")], base=base)
    assert asked.query.terms == terms("Observation", ("patient", "Patient/x"))
    assert terms("Observation", ("patient", "https://other.example/Patient/x")) == (
        ReferenceTerm("patient", (reference("patient", "https://other.example/Patient/x"),)),
    )


def test_a_canonical_below_this_server_is_compared_as_written():
    base = "https://gw.example/fhir"
    for kind, name, value in (
        ("QuestionnaireResponse", "questionnaire", f"{base}/Questionnaire/1"),
        ("Observation", "_profile", f"{base}/StructureDefinition/1|2.0"),
    ):
        asked = parse.understand(kind, [(name, value)], base=base)
        assert asked.query.terms == terms(kind, (name, value))


def test_dates():
    (term,) = terms("Observation", ("date", "ge2026-11-22T09:00:00Z"))
    assert term == DateTerm(
        "date",
        ((Prefix.GE, dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC), dt.datetime(2026, 11, 22, 9, 0, 1, tzinfo=dt.UTC)),),
    )
    assert terms("Observation", ("date", "ge2026-11-22T10:00:00 01:00")) == (term,)  # a plus sign that was not encoded
    assert [t.values[0][0] for t in terms("Observation", ("date", "gt2020"), ("date", "lt2021"))] == [
        Prefix.GT,
        Prefix.LT,
    ]
    assert len(terms("Observation", ("date", "2020,2021"))[0].values) == 2


def test_ap_needs_to_know_what_time_it_is():
    now = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    with pytest.raises(errors.Incorrect):
        parse.parse("Observation", [("date", "ap2026")])
    (term,) = parse.understand("Observation", [("date", "ap2016-11-22")], now=now).query.terms
    assert term.values[0][1] < dt.datetime(2016, 1, 1, tzinfo=dt.UTC)


def test_ids_and_last_updated():
    query = parse.parse("Observation", [("_id", "a,b"), ("_id", "b,c"), ("_lastUpdated", "gt2026")])
    assert query.ids == ("b",)
    assert query.updated[0].parameter == "_lastUpdated"
    assert query.terms == ()
    assert parse.parse("Observation", [("_id", "a"), ("_id", "b")]).ids == ("",)
    assert parse.parse("Observation", [("_id", "a\x00b")]).ids == ("",)


def test_order_count_and_total():
    assert parse.parse("Observation", [("_sort", "-date")]).sort is Sort.DATE_NEWEST
    assert parse.parse("Patient", [("_sort", "birthdate")]).sort is Sort.DATE_OLDEST
    assert parse.parse("Observation", [("_sort", "_lastUpdated")]).sort is Sort.OLDEST
    assert parse.parse("Observation", [("patient", "x")]).sort is Sort.DATE_NEWEST
    assert parse.parse("Observation", [("_count", "5"), ("_total", "accurate")]) == Query(
        "Observation", count=5, total=True
    )
    assert parse.parse("Observation", [("_count", "100000")]).count == parse.COUNT_MAX
    assert parse.parse("Observation", [("_summary", "count")]).total is True
    assert parse.parse("Observation", [("_count", "0")]).total is True


@pytest.mark.parametrize(
    ("kind", "name", "value", "at"),
    [
        ("Observation", "colour", "blue", "colour"),
        ("Observation", "birthdate", "2020", "birthdate"),
        ("Observation", "Code", "x", "Code"),
        ("Observation", "_filter", "x", "_filter"),
        ("Observation", "code:missing", "yes", "code"),
        ("Observation", "code:nonsense", "true", "code"),
        ("Observation", "code", "a|b|c", "code"),
        ("Observation", "code", "a,,b", "code"),
        ("Observation", "date", "yesterday", "date"),
        ("Observation", "date", "xx2020", "date"),
        ("Observation", "date", "2026-02-30", "date"),
        ("Observation", "patient", "Patient/", "patient"),
        ("Observation", "patient", "Nobody/x", "patient"),
        ("Observation", "patient", "Patient/x/_history/2", "patient"),
        ("Patient", "active", "perhaps", "active"),
        ("Observation", "_count", "-1", "_count"),
        ("Observation", "_count", "ten", "_count"),
        ("Observation", "_sort", "code-value-quantity", "_sort"),
        ("Observation", "_sort", "-date,code-value-quantity", "_sort"),
        ("Observation", "_total", "some", "_total"),
        ("Observation", "code", ",".join(["x"] * 101), "code"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(kind, name, value, at):
    with pytest.raises(errors.Incorrect) as refused:
        parse.parse(kind, [(name, value)])
    assert refused.value.at == at
    assert len(value) < 4 or value not in refused.value.text


def test_a_type_that_r4_does_not_have_is_not_found():
    with pytest.raises(errors.NotFound):
        parse.parse("Cat", [])


def test_lenient_ignores_and_reports_but_never_a_modifier():
    asked = parse.understand("Observation", [("colour", "blue"), ("_include", "x"), ("status", "final")], lenient=True)
    assert len(asked.ignored) == 2
    assert asked.used == [("status", "final")]
    with pytest.raises(errors.Incorrect):
        parse.understand("Observation", [("code:nonsense", "x")], lenient=True)


def test_a_parameter_without_value_is_ignored_and_reported():
    asked = parse.understand("Observation", [("code", "")])
    assert asked.query.terms == ()
    assert asked.ignored == ["code has no value"]


def test_values_that_may_name_a_person_are_marked():
    assert parse.understand("Patient", [("identifier", "x")]).private
    assert parse.understand("Patient", [("telecom", "x")]).private
    assert not parse.understand("Patient", [("gender", "female"), ("_id", "a")]).private


names = st.one_of(st.sampled_from(sorted(p.name for p in parameters.of("Observation").all())), st.text(max_size=12))
suffixes = st.sampled_from(["", ":not", ":Patient", ":missing", ".name", ":exact"])


@given(st.lists(st.tuples(st.builds(str.__add__, names, suffixes), st.text(max_size=30)), max_size=6), st.booleans())
def test_any_request_is_a_query_or_a_refusal(pairs, lenient):
    try:
        asked = parse.understand("Observation", pairs, lenient=lenient, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    except errors.Incorrect as refused:
        message = refused.text
    else:
        message = str(hash(asked.query))
    assert message
