"""The words of texts in a real store: found at once and by every process, after changes, and when made again."""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import pytest

from gateway.errors import Unavailable
from gateway.fhir import body as bodies
from gateway.fhir.merge import merge
from gateway.search import parse
from gateway.search.index import extract
from gateway.store.port import Condition, Edit, Moved
from gateway.store.postgres import indexing, search_texts
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores
from tests.contracts.stores import raw

SNOMED = "http://snomed.info/sct"


@contextlib.asynccontextmanager
async def opened(url, schema):
    store = PostgresStore(url, outbox_partition=stores.partition, extract=extract, merge=merge, schema=schema)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@pytest.fixture
async def schema(database):
    name = f"t_{secrets.token_hex(4)}"
    yield name
    async with raw(database.url) as connection:
        await connection.execute(f"drop schema {name} cascade")


@pytest.fixture
async def store(database, schema):
    async with opened(database.url, schema) as one:
        yield one


def condition(name, display, code="38341003", **more):
    return {
        "resourceType": "Condition", "id": name, "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": SNOMED, "code": code, "display": display}]}, **more,
    }  # fmt: skip


def edit(resource, **how):
    body = bodies.prepare(resource)
    digest = bodies.content_digest(body)
    return Edit(resource["resourceType"], resource["id"], body, digest, index=extract(resource), **how)


async def put(store, *resources):
    await store.write([edit(one) for one in resources])


async def found(store, name, text, kind="Condition"):
    page = await store.search(parse.parse(kind, [(name, text), ("_total", "accurate"), ("_count", "500")]))
    assert page.total == len(page.versions)
    return sorted(version.id for version in page.versions)


async def test_what_is_written_is_found_at_once_by_every_process(database, schema, store):
    async with opened(database.url, schema) as other:
        await put(store, condition("a", "Hypertension"))
        assert await found(other, "code:text", "hyper") == ["a"]
        # the code is known to both, the word to neither
        await put(other, condition("b", "Forhøjet blodtryk", note=[{"text": "set af Bodil"}]))
        assert await found(store, "code:text", "blodtryk") == ["b"]
        assert await found(store, "_content", "bodil") == ["b"]
        assert await found(store, "_content", "38341003") == ["a", "b"]


async def test_writers_that_bring_the_same_words_at_once_do_not_stand_in_each_others_way(database, schema):
    async with contextlib.AsyncExitStack() as stack:
        several = [await stack.enter_async_context(opened(database.url, schema)) for _ in range(3)]
        words = [f"word{chr(97 + n)}" for n in range(26)]
        await asyncio.gather(
            *(
                put(one, condition(f"{place}-{n}", " ".join(words[n:] + words[:n])))
                for place, one in enumerate(several)
                for n in range(12)
            )
        )
        for one in several:
            assert len(await found(one, "code:text", "wordz")) == 36


async def test_a_change_and_a_deletion_are_followed(store):
    await put(store, condition("a", "Hypertension", note=[{"text": "early"}]))
    await put(store, condition("a", "Hypotension", code="45007003", note=[{"text": "late"}]))
    for name, text, ids in (("_content", "early", []), ("_content", "late", ["a"]), ("code:text", "hypertension", []), ("code:text", "hypotension", ["a"])):  # fmt: skip
        assert await found(store, name, text) == ids
    await store.write([Edit("Condition", "a", b"")])
    assert await found(store, "_content", "late") == []


async def test_a_code_that_is_displayed_otherwise_elsewhere_is_judged_by_its_own_text(store):
    await put(store, condition("a", "Hypertension"), condition("b", "Forhøjet blodtryk"))
    assert await found(store, "code:text", "hypertension") == ["a"]


async def test_a_condition_on_words_holds_at_the_commit(store):
    question = parse.parse("Condition", [("code:text", "hypertension")])
    await put(store, condition("a", "Hypertension"))
    with pytest.raises(Moved):
        await store.write([edit(condition("b", "Hypertension"), expect=0)], [Condition(question, ())])
    await store.write([edit(condition("b", "Hypertension"), expect=0)], [Condition(question, ("a",))])


async def test_a_store_of_an_older_layout_is_indexed_again_with_its_words(database, schema, store, monkeypatch):
    await put(store, condition("a", "Hypertension", note=[{"text": "set af Bodil"}]))
    async with raw(database.url, schema) as connection:
        await connection.execute("delete from word")
        await connection.execute("update resource set tokens = '{}', code = null")
        assert await found(store, "_content", "bodil") == []
        monkeypatch.setattr(indexing, "LAYOUT", indexing.LAYOUT + 1)
        async with opened(database.url, schema) as later:
            assert await found(later, "_content", "bodil") == ["a"]
            assert await found(later, "code:text", "hypertension") == ["a"]


async def test_a_word_of_too_many_codes_is_judged_by_the_bodies(store, monkeypatch):
    monkeypatch.setattr(search_texts, "TOLD_MAX", 3)
    await put(store, *(condition(f"c{n}", f"Disorder {n}", code=f"{n}") for n in range(8)))
    assert len(await found(store, "code:text", "disorder")) == 8
    assert await found(store, "code:text", "disorder 7") == ["c7"]


async def test_the_dictionary_says_each_word_once(database, schema, store):
    await put(store, *(condition(f"c{n}", "Hypertension") for n in range(20)))
    async with raw(database.url, schema) as connection:
        rows = await connection.fetch(
            "select word, count(*) from word where word not like ' %' group by word order by word"
        )
    assert {row["word"]: row["count"] for row in rows} == {"38341003": 1, "hypertension": 1}


async def test_a_text_of_any_character_is_kept_and_asked_for(store):
    odd = "bl\x7fod \ud7ff\U0010fffe slut"
    await put(store, condition("a", odd), condition("b", "x", note=[{"text": odd}]))
    assert await found(store, "_content", "\ud7ff\U0010fffe") == ["a", "b"]
    assert await found(store, "_content", "slut") == ["a", "b"]


async def test_words_that_a_crash_of_the_database_has_taken_are_written_down_again(database, schema, store):
    await put(store, condition("a", "Hypertension"))
    async with raw(database.url) as connection:
        # what a crash does: words that nothing was flushed behind are gone, and so is every connection
        await connection.execute(f"delete from {schema}.word")
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'"
            " and query_start is not null"
        )
    for _ in range(20):
        with contextlib.suppress(Unavailable):
            await put(store, condition("b", "Hypertension"))
            break
    assert "b" in await found(store, "code:text", "hypertension")
