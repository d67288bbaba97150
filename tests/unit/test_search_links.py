"""The search language beyond one resource and about the answer: chains, `_has`, includes, orders, shapes."""

import pytest

from gateway import errors
from gateway.search import keys, parameters, parse, results
from gateway.search.query import (
    ChainTerm,
    DateTerm,
    HasTerm,
    How,
    IdTerm,
    Include,
    ReferenceTerm,
    Sort,
    SortBy,
    StringTerm,
    TokenTerm,
    reference,
    token,
)  # fmt: skip
from tests.unit.search_asked import one


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
