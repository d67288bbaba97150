"""The number of a version tells that others were: exactly that, and to nobody but who sees the resource (access.md)."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from tests.leaks.gateway import NOON, Gateway, citizen, gateway, staff
from tests.leaks.test_rights import CONFIDENTIALITY
from tests.leaks.two_patients import NORTH, encounter, observation, organisation, patient

SECRET = {"meta": {"security": [{"system": CONFIDENTIALITY, "code": "V"}]}}
FIRST, LAST = observation("x", "a", status="preliminary"), observation("x", "a", status="final")
GONE = None
WORLDS = {
    "none between": [FIRST, LAST],
    "another's": [FIRST, observation("x", "b"), LAST],
    "another's, otherwise": [FIRST, observation("x", "b", code={"text": "HIV"}), LAST],
    "labelled": [FIRST, observation("x", "a", **SECRET), LAST],
    "deleted": [FIRST, GONE, LAST],
    "three": [FIRST, observation("x", "b"), GONE, observation("x", "a", **SECRET), LAST],
}
REQUESTS = [
    ("GET", "/Observation/x", None, {}), ("GET", "/Observation/x/_history", None, {}), ("GET", "/Observation/x/_history?_count=1", None, {}),
    ("GET", "/Observation?_id=x", None, {}), ("GET", "/Observation?status=final&_total=accurate", None, {}), ("GET", "/Observation?code:text=HIV", None, {}),
    ("GET", "/Observation/_history", None, {}), ("GET", "/_history", None, {}), ("GET", "/_history?_count=1", None, {}),
    ("GET", "/Patient?_has:Observation:patient:status=final", None, {}), ("GET", "/Patient/a/$everything", None, {}), ("GET", "/Observation/x/$meta", None, {}),
    ("GET", "/Observation/x/_history/1", None, {}), ("GET", "/Observation/x/_history/99", None, {}), ("GET", "/Observation/x", None, {"if-none-match": 'W/"99"'}),
    ("GET", "/Observation?_lastUpdated=lt2026-11-22T12:00:30%2B01:00", None, {}), ("GET", "/Observation/_history?_since=2026-11-22T11:00:01Z", None, {}),
    ("PUT", "/Observation/x", LAST, {"if-match": 'W/"99"'}), ("DELETE", "/Observation/x", None, {"if-match": 'W/"99"'}),
]  # fmt: skip
_NUMBER = re.compile(rb'"versionId":"(\d+)"|W/\\?"(\d+)\\?"|/_history/(\d+)')


@pytest.fixture(scope="module")
def worlds(postgres_url):
    """Each world's last version came at the same moment, and so did its first."""
    entered, made = [], {}
    for name, versions in WORLDS.items():
        context = gateway(postgres_url)
        here = context.__enter__()
        entered.append(context)
        made[name] = here
        here.put(
            organisation("north", NORTH), patient("a", "x", "1980-01-01", "1"), patient("b", "x", "1980-01-01", "2")
        )
        here.put(encounter("a-stay", "a", "north", "2026-11-01T08:00:00+01:00"))
        here.know("a", citizen("a", "patient/*.rs", "patient/Observation.cruds"))
        here.know("north", staff(NORTH))
        for place, version in enumerate(versions):
            here.clock.at = NOON + dt.timedelta(minutes=0 if not place else 10 if place == len(versions) - 1 else place)
            if version is None:
                assert here.ask("all", "DELETE", "/Observation/x").status == 204
            else:
                here.put(version)
        here.clock.at = NOON + dt.timedelta(hours=1)
    yield made
    for context in entered:
        context.__exit__(None, None, None)


def answers(here: Gateway, who: str) -> list[tuple]:
    """Every answer with its version numbers taken out, and which numbers stood there."""
    found = []
    for method, path, body, headers in REQUESTS:
        told = here.ask(who, method, path, body, **headers)
        kept = {
            name: _NUMBER.sub(b"", value.encode()) for name, value in told.headers.items() if name != "content-length"
        }
        found.append((path, told.status, kept, re.sub(rb"_page=[\w-]+", b"", _NUMBER.sub(b"", told.body))))
    return found


@pytest.mark.parametrize("who", ["a", "north"])
def test_nothing_but_the_number_tells_of_versions_that_are_hidden(worlds, who):
    # an older version of his own that he may see, labelled or not, is no part of what is hidden
    alike = [name for name in WORLDS if not (who == "a" and name in {"labelled", "three"})]
    told = {name: answers(worlds[name], who) for name in alike}
    for name in alike:
        for one, other in zip(told["none between"], told[name], strict=True):
            assert one == other, (who, name, one[0])


@pytest.mark.parametrize("who", ["a", "north"])
def test_as_many_hidden_versions_are_the_same_to_the_byte_whatever_they_were(worlds, who):
    alike = ["another's", "another's, otherwise", "deleted", *(["labelled"] if who == "north" else [])]
    for method, path, body, headers in REQUESTS:
        told = [worlds[name].ask(who, method, path, body, **headers) for name in alike]
        bodies = {re.sub(rb"_page=[\w-]+", b"", one.body) for one in told}
        assert len(bodies) == len({one.status for one in told}) == 1, path
        assert len({str(sorted(one.headers.items())) for one in told}) == 1 or b"_page" in told[0].body, path


def test_a_hidden_version_is_read_and_named_like_one_that_never_was(worlds):
    here = worlds["three"]
    assert here.get("all", "/Observation/x").json["meta"]["versionId"] == "5"
    for hidden in (2, 3, 4):
        one, other = (here.get("north", f"/Observation/x/_history/{number}") for number in (hidden, 99))
        assert (one.status, one.body, one.headers) == (other.status, other.body, other.headers)
        for method in ("PUT", "PATCH"):
            kind = {"content-type": "application/json-patch+json"} if method == "PATCH" else {}
            body = b'[{"op":"replace","path":"/status","value":"amended"}]' if method == "PATCH" else LAST
            one, other = (here.ask("north", method, "/Observation/x", body, **{"if-match": f'W/"{number}"'}, **kind) for number in (hidden, 99))  # fmt: skip
            assert (one.status, one.body) == (other.status, other.body) == (412, other.body)


def test_who_does_not_see_the_resource_learns_no_number(worlds):
    for here in worlds.values():
        here.know("b", citizen("b"))
        told = [here.get("b", f"/Observation/{name}{more}") for name in ("x", "never") for more in ("", "/_history", "/_history/2")]  # fmt: skip
        assert {one.status for one in told} == {404}
        assert {bytes(one.body) for one in told[:3]} == {bytes(one.body) for one in told[3:]}
        assert here.get("b", "/Observation/_history").ids == []
