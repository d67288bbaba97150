"""The law of narrowing: the store finds what `match` says among what `within` says exists, and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.access import Actor, Kind, Purpose
from gateway.access import scopes as access_scopes
from gateway.errors import Incorrect
from gateway.search import parse
from gateway.search.match import match
from gateway.search.query import Query
from gateway.search.reach import Owner, Reach, Way
from gateway.store.postgres import search_sql
from gateway.store.postgres.search_sighted import Content
from tests.leaks.populated import KINDS, peopled, sights
from tests.properties.search_world import Told
from tests.properties.test_search_law import NOW, questions

SIGHTS = sights(60)
NAMING = ("AdverseEvent", "Group", "Person", "Schedule", "SupplyRequest")
FOLLOWING = ("Provenance", "Binary")
met: Counter[object] = Counter()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with peopled(tmp_path_factory.mktemp("peopled")) as made:
        yield made


def seen(world, sight):
    return lambda kind: world.seen(sight, kind)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions(), sight=st.sampled_from(SIGHTS), count=st.sampled_from([3, 50]), frequent=st.booleans())
def test_the_store_finds_what_there_is_for_a_caller(world, question, sight, count, frequent):
    kind, pairs = question
    try:
        query = replace(parse.understand(kind, pairs, now=NOW).query, count=count, total=True, sight=sight)
    except Incorrect:
        return
    world.store._searches._frequencies = Told(frequent)
    expected = {one["id"] for one in world.seen(sight, kind) if match(query, one, seen(world, sight))}
    if count < 50 and len(expected) > 20:
        query = replace(query, count=11)
    found = world.pages(query)
    assert sorted(version.id for version in found) == sorted(expected), (kind, pairs, sight)
    assert world.runner.run(world.store.search(query)).total == len(expected)
    met[bool(expected)] += 1


def test_every_type_whole_and_by_id(world):
    for sight in SIGHTS:
        for kind in KINDS:
            expected = {one["id"] for one in world.seen(sight, kind)}
            there = world.runner.run(world.store.search(Query(kind, count=500, sight=sight)))
            assert {one.id for one in there.versions} == expected, (kind, sight)
            everything = [(kind, one["id"]) for one in world.resources[kind]]
            read = world.runner.run(world.store.read_many(everything, sight=sight))
            assert {one.id for one in read} == expected
            history = world.runner.run(world.store.changes([kind], count=500, sight=sight))
            assert {one.id for one in history.versions} == expected
            met[kind, bool(expected), len(expected) == len(everything)] += 1


def test_what_would_be_written_is_judged_as_what_stands(world):
    """`judge` sees a content as it would stand, evidence of itself aside (blocks by source)."""
    for sight in SIGHTS[:30]:
        for kind in ("Observation", "Appointment", "Condition", "Account", "Device", *NAMING, *FOLLOWING):
            everything = world.resources[kind]
            contents = [Content(one["id"], 0, world.store._indexing.extract(one), one) for one in everything]
            judged = world.runner.run(world.store._sighted.judge(kind, contents, sight))
            expected = {one["id"] for one in world.seen(sight, kind)}
            assert {one["id"] for one, there in zip(everything, judged, strict=True) if there} == expected, (
                kind,
                sight,
            )


def test_the_law_met_something():
    assert met[True] > 40, met
    assert met[False] > 40, met
    for kind in ("Observation", "Patient", "Appointment", "Condition"):
        assert met[kind, True, False] > 10, (kind, met)
    for kind in (*NAMING, *FOLLOWING):
        assert met[kind, True, False] > 5, (kind, met)


def test_callers_that_share_a_trip_see_their_own_alone(world):
    queries = [Query("Observation", count=200, sight=sight) for sight in SIGHTS for _ in range(2)]
    world.store._searches._frequencies = Told(frequent=False)

    async def together():
        return await asyncio.gather(*(world.store.search(query) for query in queries))

    for query, page in zip(queries, world.runner.run(together()), strict=True):
        assert {one.id for one in page.versions} == {one["id"] for one in world.seen(query.sight, "Observation")}


OWNED = r"\b{}\.patient = any\(\(select \(case when exists \(select from same_person \w+ where \w+\.patient = (\$\d+)::bigint"


class Marked:
    """A sight whose reach of every type can be told in the text of a statement."""

    measures = False

    def of(self, kind):
        return Reach((Way((Owner(20261122),)),))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions(), frequent=st.booleans(), counts=st.booleans())
def test_a_statement_reads_no_resource_without_its_reach(world, question, frequent, counts):
    """Every `resource x` of a statement is followed, before another of its name, by the condition of the reach on x."""
    kind, pairs = question
    try:
        query = replace(parse.understand(kind, pairs, now=NOW).query, sight=Marked())
    except Incorrect:
        return
    world.store._searches._frequencies = Told(frequent)
    scope = world.store._searches._scope(query)
    try:
        statement = search_sql.total(query, scope) if counts else search_sql.page(query, scope)
    except TypeError:
        return  # what no index answers is taken out before (search_recheck)
    marked = {f"${place}" for place, value in enumerate(statement.arguments, 1) if value == 20261122}
    for read in re.finditer(r"\bresource (\w+)", statement.sql):
        alias = read[1]
        if alias == "where":
            continue  # the id of the last row shown, by its number
        if alias == "x":
            alias = "r"  # (select * from resource x where x.rid = v.rid offset 0) r
        owned = {found[1] for found in re.finditer(OWNED.format(alias), statement.sql)}
        assert owned & marked, statement.sql


def test_who_must_be_narrowed_and_is_not_reaches_nothing(world):
    from gateway import access
    from gateway.access import Read, Search, decide
    from gateway.clock import FrozenClock
    from gateway.serve.permitted import PermittedStore

    store = PermittedStore(world.store, FrozenClock(NOW))
    who = Actor("c", access_scopes.parse(["patient/*.rs"]), Kind.CITIZEN, Purpose.OWN, person="Patient/p1", assurance=2)
    for permitted, ask in (
        (decide.__call__(who, Read("Patient", "p1")), store.read),
        (access.decide(who, Search(Query("Patient"))), store.search),
    ):
        world.runner.run(ask(permitted))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.access.sight.narrows", lambda _: False)
            with pytest.raises(AssertionError):
                world.runner.run(ask(permitted))
