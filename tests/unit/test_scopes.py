"""The grammar of scopes (SMART App Launch 2.2): what is read, how, and what is refused whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import scopes
from gateway.access.scopes import Grant, Letter, ScopeError
from gateway.identity.oauth.client import narrowed

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("patient/Observation.rs", Grant("patient", "Observation", "rs")),
        ("user/*.cruds", Grant("user", "*", "cruds")),
        ("system/Patient.read", Grant("system", "Patient", "rs")),
        ("user/Patient.write", Grant("user", "Patient", "cud")),
        ("patient/*.*", Grant("patient", "*", "cruds")),
        (
            f"patient/Observation.rs?category={CATEGORY}",
            Grant("patient", "Observation", "rs", (("category", CATEGORY),)),
        ),
        (
            "user/Observation.r?code=a,b&date=ge2020&_tag=x=y",
            Grant("user", "Observation", "r", (("code", "a,b"), ("date", "ge2020"), ("_tag", "x=y"))),
        ),
    ],
)
def test_a_resource_scope_is_a_value(text, grant):
    assert scopes.parse([text]).grants == (grant,)


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.",
        "patient/Observation.dus",
        "patient/Observation.rr",
        "patient/Observation.reads",
        "patient/Observation.Read",
        "patient/observation.rs",
        "patient/Observation",
        "patient/.rs",
        "practitioner/Observation.rs",
        "patient/Observation.rs?",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?=x",
        "patient/Observation.rs?category=x&",
        "patient/Observation.rs?category=x&&code=y",
        "patient/Observation.rs?category:not=x",
        "patient/Observation.rs?subject:Patient.name=x",
        "patient/Observation.rs?subject.name=x",
        "patient/Observation.rs?_filter=x",
        "patient/Observation.rs?category=a%7Cb",
        "patient/Observation.rs?category=æ",
        'patient/Observation.rs?category="',
        "patient/Observation.rs?category=\\",
        "patient/Observation.rs?" + "&".join(f"p{n}=x" for n in range(11)),
        "ingest/",
        "ingest/Home",
        "launch/observation",
        "OPENID",
        "",
    ],
)
def test_what_cannot_be_read_whole_is_refused_whole(text):
    with pytest.raises(ScopeError) as error:
        scopes.parse(["system/*.rs", text])
    assert not text or text not in str(error.value)


def test_only_system_scopes_without_a_constraint_open_a_whole_type():
    held = scopes.parse(["system/Observation.rs?category=x", "user/Patient.rs", "patient/*.rs", "system/Encounter.r"])
    assert held.allow("Encounter", Letter.READ)
    for kind in ("Observation", "Patient", "Condition"):
        assert not held.allow(kind, Letter.READ), kind


def test_other_scopes_are_known_and_open_nothing():
    held = scopes.parse(["openid", "fhirUser", "launch", "launch/patient", "offline_access"])
    assert held.others == {"openid", "fhirUser", "launch", "launch/patient", "offline_access"}
    assert not held.grants
    assert not held.system


grants = st.builds(
    Grant,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", "Observation", "Patient", "Condition"]),
    st.sets(st.sampled_from("cruds"), min_size=1).map(lambda found: "".join(one for one in "cruds" if one in found)),
    st.lists(st.tuples(st.sampled_from(["category", "code", "_tag"]), st.sampled_from(["a", "b|c"])), max_size=2).map(
        tuple
    ),
)


@given(grants)
def test_a_grant_written_and_read_is_the_same(grant):
    assert scopes.read(grant.text) == grant


def opens(grant: Grant, kind: str, letter: str, said: frozenset[tuple[str, str]]) -> bool:
    """Whether a grant opens a resource of which `said` is true."""
    return grant.type in {"*", kind} and letter in grant.letters and set(grant.constraint) <= said


@given(st.lists(grants, min_size=1, max_size=4), st.lists(grants, min_size=1, max_size=4))
def test_what_is_narrowed_opens_exactly_what_both_open(asked, held):
    contexts = ("patient", "user", "system")
    given_ = narrowed([one.text for one in asked], scopes.parse([one.text for one in held]), contexts)
    left = scopes.parse(given_.split()).grants
    pairs = [(name, value) for name in ("category", "code", "_tag") for value in ("a", "b|c")]
    subsets = [frozenset(), frozenset(pairs), frozenset(pairs[:1]), frozenset(pairs[2:4]), frozenset(pairs[::2])]
    for context in contexts:
        for kind in ("Observation", "Patient", "Condition", "Encounter"):
            for letter in "cruds":
                for said in subsets:
                    both = all(
                        any(one.context == context and opens(one, kind, letter, said) for one in side)
                        for side in (asked, held)
                    )
                    assert any(one.context == context and opens(one, kind, letter, said) for one in left) == both
