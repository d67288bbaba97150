"""A token's claims and the actor they say: the one makes the other again, and what contradicts itself makes none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import Actor, Assurance, Kind, Purpose
from gateway.access.scopes import parse
from gateway.clock import FrozenClock
from gateway.errors import Incorrect, Misconfigured, Unauthenticated
from gateway.identity import LocalIssuer
from gateway.identity.claims import ClaimError, actor_of, claims_of
from gateway.identity.local import ACTORS, listed
from gateway.identity.people import PEOPLE, at_the_login
from gateway.settings import Settings
from tests.identity.house import IDS, NOW

SCOPES = parse(["patient/*.rs"])
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
REFERENCE = st.from_regex(r"Patient/[a-z0-9]{1,26}", fullmatch=True)
LEVEL = st.sampled_from([level for level in Assurance if level])
GIVEN = {
    "organisation": TEXT,
    "role": TEXT,
    "authorisation": TEXT,
    "session": TEXT,
    "reason": TEXT,
    "patient": REFERENCE | st.just(""),
}
CITIZEN = st.builds(
    Actor, st.just("app"), st.just(SCOPES), st.just(Kind.CITIZEN), st.just(Purpose.OWN), st.just("subject"), REFERENCE,
    REFERENCE | st.just(""), assurance=LEVEL, **GIVEN,
)  # fmt: skip
STAFF = st.builds(
    Actor, st.just("app"), st.just(SCOPES), st.just(Kind.STAFF), st.sampled_from([Purpose.TREATMENT, Purpose.VAERDISPRING]), st.just("subject"),
    assurance=LEVEL, **GIVEN,
)  # fmt: skip
SYSTEM = st.builds(Actor, st.just("app"), st.just(SCOPES), organisation=TEXT)


@given(CITIZEN | STAFF | SYSTEM)
def test_an_actor_is_the_same_after_a_way_through_a_token(actor):
    assert actor_of(claims_of(actor), SCOPES) == actor


WHO = Actor("app", SCOPES, Kind.CITIZEN, Purpose.OWN, "subject", "Patient/a", assurance=Assurance.HIGH)
WRONG = {
    "no subject": {"sub": ""}, "kind": {"kind": "king"}, "kind a list": {"kind": ["citizen"]}, "purpose of staff": {"purpose": "treatment"},
    "purpose none": {"purpose": "curiosity"}, "no person": {"person": None}, "a person elsewhere": {"person": "https://x/Patient/a"},
    "a person with a step": {"person": "Patient/a/_history/1"}, "no level": {"acr": None}, "level": {"acr": "highest"}, "level none": {"acr": "none"},
    "on behalf of a group": {"on_behalf_of": "Group/a"}, "a system with a person": {"kind": "system", "purpose": "sharing", "sub": "app"},
    "an operator with a record": {"kind": "operator", "purpose": "operation"}, "staff with a record": {"kind": "staff", "purpose": "treatment"},
    "a long text": {"reason": "x" * 501}, "a number": {"role": 7170}, "no client": {"client_id": None},
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_claims_that_do_not_belong_together_are_nobody(change):
    claims = {name: value for name, value in {**claims_of(WHO), **change}.items() if value is not None}
    with pytest.raises(ClaimError) as refused:
        actor_of(claims, SCOPES)
    assert "Patient/a" not in str(refused.value)


def test_a_system_that_says_another_subject_is_nobody():
    with pytest.raises(ClaimError):
        actor_of({"client_id": "app", "sub": "somebody", "scope": ""}, SCOPES)


# --- the local issuer's people ---


@pytest.fixture
def issuer(tmp_path):
    return LocalIssuer.open(Settings(data=tmp_path, public_url="https://gw.example"), FrozenClock(NOW), IDS)


@pytest.mark.parametrize("name", [*ACTORS, *PEOPLE])
def test_everybody_on_the_list_has_a_token_that_says_who_he_is(issuer, name):
    actor = issuer.verifier().verify(issuer.token_of(name)).actor
    assert actor.client == name
    assert actor.kind is (PEOPLE[name].kind if name in PEOPLE else Kind.SYSTEM)
    if name in PEOPLE:
        expected = PEOPLE[name].actor(IDS, "https://gw.example/local-issuer")
        assert (actor.person, actor.on_behalf_of, actor.organisation, actor.role) == (
            expected.person, expected.on_behalf_of, expected.organisation, expected.role,
        )  # fmt: skip


def test_no_token_holds_a_persons_number(issuer):
    import base64

    for name, person in PEOPLE.items():
        payload = base64.urlsafe_b64decode(issuer.token_of(name).split(".")[1] + "==").decode()
        assert not person.cpr or person.cpr not in payload


def test_the_people_are_the_ones_that_stories_need():
    kinds = [each.kind for each in at_the_login()]
    assert kinds.count(Kind.CITIZEN) >= 4
    assert {each.organisation for each in PEOPLE.values() if each.kind is Kind.STAFF} >= {
        "265171000016007",
        "265161000016000",
        "953741000016009",
    }
    assert PEOPLE["parent-for-child"].actor(IDS, "i").on_behalf_of == PEOPLE["child"].actor(IDS, "i").person
    assert PEOPLE["parent-for-child"].actor(IDS, "i").subject == PEOPLE["parent"].actor(IDS, "i").subject
    assert set(listed()) == set(ACTORS) | set(PEOPLE)


def test_people_have_no_tokens_without_ids_and_nobody_in_production(tmp_path):
    with pytest.raises(Incorrect):
        LocalIssuer.open(Settings(data=tmp_path)).token_of("citizen-1")
    with pytest.raises(Misconfigured):
        LocalIssuer.open(Settings(data=tmp_path, environment="production"), ids=IDS)


def test_a_citizens_token_without_his_record_is_refused(issuer):
    token = issuer.issue(
        "app", ["patient/*.rs"], who=Actor("app", SCOPES, Kind.CITIZEN, Purpose.OWN, "s", assurance=Assurance.HIGH)
    )
    with pytest.raises(Unauthenticated):
        issuer.verifier().verify(token)
