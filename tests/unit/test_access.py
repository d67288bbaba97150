"""Deny by default: what each scope opens, and that nobody but `decide` permits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import access, errors
from gateway.access import Actor, History, Permitted, Read, Search, VersionRead
from gateway.access import scopes as access_scopes
from gateway.access.scopes import Letter, ScopeError
from gateway.search.query import Query

INTENTS = [
    Read("Observation", "x"), VersionRead("Observation", "x", 1), History("Observation", "x", count=10), Search(Query("Observation")),
]  # fmt: skip


def actor(*scopes: str) -> Actor:
    return Actor("client", access_scopes.parse(scopes))


@pytest.mark.parametrize(
    ("scopes", "read", "search"),
    [
        (("system/*.rs",), True, True), (("system/Observation.rs",), True, True), (("system/*.r",), True, False), (("system/*.s",), False, True),
        (("system/*.r", "system/Observation.s"), True, True), (("system/Patient.rs",), False, False), (("system/*.cud",), False, False),
        (("patient/*.rs",), False, False), (("user/*.rs",), False, False), (("ingest/home",), False, False), ((), False, False), (("system/*.cruds",), True, True),
    ],
)  # fmt: skip
def test_scopes_open_what_they_say_and_nothing_else(scopes, read, search):
    for intent, allowed in zip(INTENTS, (read, read, read, search), strict=True):
        if allowed:
            permitted = access.decide(actor(*scopes), intent)
            assert permitted.intent is intent
        else:
            with pytest.raises(errors.Denied) as refused:
                access.decide(actor(*scopes), intent)
            assert refused.value.why is access.Why.NO_SCOPE


@pytest.mark.parametrize(
    ("scope", "allowed"), [("system/Patient.u", False), ("system/Patient.r", False), ("system/Patient.ru", True)]
)
def test_a_patch_needs_to_read_as_well_for_its_answer_tells_what_was_there(scope, allowed):
    if allowed:
        assert access.decide(actor(scope), access.Patch("Patient", "x"))
    else:
        with pytest.raises(errors.Denied):
            access.decide(actor(scope), access.Patch("Patient", "x"))


def test_nobody_else_permits():
    with pytest.raises(TypeError):
        Permitted(INTENTS[0], actor("system/*.rs"), object())


@pytest.mark.parametrize(
    "scope",
    [
        "system/*.",
        "system/*.sr",
        "system/*.rr",
        "System/*.r",
        "system/**.r",
        "system/Observation.r s",
        "system/*.r\n",
    ],
)
def test_the_grammar_is_strict(scope):
    with pytest.raises(ScopeError):
        access_scopes.parse([scope])


@given(st.lists(st.from_regex(r"system/(\*|Patient|Observation)\.(r|s|rs|c|cruds)", fullmatch=True), max_size=5))
def test_more_scopes_never_close_anything(scopes):
    whole = access_scopes.parse(scopes)
    for scope in scopes:
        one = access_scopes.parse([scope])
        for kind in ("Patient", "Observation", "Encounter"):
            assert all(whole.allow(kind, letter) for letter in Letter if one.allow(kind, letter))
