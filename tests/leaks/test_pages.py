"""Pages of one search, while others write: for whoever is not shown everything, they are of what he may see now."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.leaks.gateway import Gateway, citizen, gateway
from tests.leaks.two_patients import observation, patient


@pytest.fixture
def here(postgres_url):
    with gateway(postgres_url) as made:
        made.put(patient("a", "A", "1980-01-01", "1"), patient("b", "B", "1980-01-01", "2"))
        for name, who in (("1", "a"), ("2", "a"), ("3", "b"), ("4", "a"), ("5", "a")):
            made.clock.advance(dt.timedelta(seconds=1))
            made.put(observation(name, who))
        made.know("a", citizen("a"))
        yield made


def rest(here: Gateway, path: str) -> list[str]:
    found: list[str] = []
    while path:
        told = here.get("a", path)
        assert told.status == 200
        found += told.ids
        path = told.next
    return found


@pytest.mark.parametrize(
    "query", ["_sort=_id", "_sort=-_lastUpdated", "_sort=-date", "_sort=status,_id", "_content=final&_sort=_id"]
)
def test_what_has_become_anothers_shows_on_no_later_page(here: Gateway, query):
    """Neither as it is now nor as it was: a former version is no way round what is hidden now."""
    here.clock.advance(dt.timedelta(minutes=5))
    first = here.get("a", f"/Observation?{query}&_count=1")
    shown = {*first.ids}
    assert len(shown) == 1
    for name in ("1", "2", "4", "5"):
        if f"Observation/{name}" not in shown:
            here.clock.advance(dt.timedelta(seconds=1))
            here.put(observation(name, "b"))
    assert rest(here, first.next) == []


def test_what_has_become_his_is_shown_as_it_is_now_and_never_as_it_was_anothers(here: Gateway):
    here.clock.advance(dt.timedelta(minutes=5))
    first = here.get("a", "/Observation?_sort=_id&_count=1")
    here.put(observation("3", "a"))
    assert rest(here, first.next) == ["Observation/2", "Observation/3", "Observation/4", "Observation/5"]
    assert here.get("a", "/Observation/3/_history/1").status == 404
