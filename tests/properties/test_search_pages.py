"""The law of pages: walked to the end while others write, they are the answer that the first one began.

Each resource that answered then comes once, in its place and as it was; what has been deleted since may be left out.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Incorrect
from gateway.search import parse
from gateway.search.query import After, AllTerm, AnyTerm, ChainTerm, HasTerm, NotTerm
from gateway.store.postgres import search_snapshot
from tests.properties.search_world import KINDS, Told, World, loaded_world
from tests.properties.test_search_law import NOW, questions


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    with loaded_world(tmp_path_factory.mktemp("pages")) as world:
        world.minute = 10
        yield world


def through(terms):
    """The types of the other resources that terms ask about."""
    for term in terms:
        match term:
            case ChainTerm() | HasTerm():
                yield term.type
                yield from through([term.term])
            case NotTerm():
                yield from through([term.term])
            case AllTerm() | AnyTerm():
                yield from through(term.terms)


def disturb(loaded, kind, chance: random.Random) -> set[str]:
    """Change, make and delete some resources of a type; return which are deleted."""
    world, gone = World(chance.randrange(1 << 30)), set()
    for _ in range(chance.randint(0, 3)):
        loaded.minute += 1
        number = chance.randrange(KINDS[kind] * 5 // 4)
        resource = world.resource(kind, number)
        deleted = chance.random() < 0.25
        gone |= {resource["id"]} if deleted else set()
        for _ in range(chance.choice([1, 1, 2])):  # twice: more than one version since
            loaded.minute += 1
            loaded.apply(resource, minute=loaded.minute, deleted=deleted)
            resource = world.resource(kind, number)
    return gone


met: Counter[object] = Counter()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions(), count=st.sampled_from([3, 11, 40]), frequent=st.booleans(), seed=st.integers(0, 1 << 30), trusted=st.booleans())  # fmt: skip
def test_pages_walked_while_others_write_are_the_answer_that_the_first_began(
    loaded, question, count, frequent, seed, trusted
):
    kind, pairs = question
    try:
        query = parse.understand(kind, pairs, now=NOW).query
    except Incorrect:
        return
    if kind in through(query.terms):  # what is asked of others is asked as they are now
        return
    chance = random.Random(seed)
    loaded.store._searches._frequencies = Told(frequent)
    with pytest.MonkeyPatch.context() as patch:
        if trusted:  # as if the world had been loaded long ago
            patch.setattr(search_snapshot, "_LAG", dt.timedelta())
        expected = loaded.pages(replace(query, count=500))
        query = replace(query, count=count)
        shown, gone = [], set()
        while True:
            page = loaded.runner.run(loaded.store.search(query))
            assert not page.loose
            assert len(page.versions) <= count
            shown += page.versions
            if not page.more:
                break
            gone |= disturb(loaded, kind, chance)
            after = After(page.last_key, page.last_rid, page.last_keys)
            query = replace(query, after=after, as_of=page.as_of)
    ids = [version.id for version in shown]
    assert shown == [version for version in expected if version.id in {*ids} or version.id not in gone], (kind, pairs)
    met["pages"] += len(shown) > count
    met["former"] += any(loaded.runner.run(loaded.store.read(kind, one.id)).version > one.version for one in shown)
    met["gone"] += len(shown) < len(expected)


def test_the_walks_met_changes():
    assert met["pages"] > 30, met
    assert met["former"] > 20, met
    assert met["gone"] > 3, met
