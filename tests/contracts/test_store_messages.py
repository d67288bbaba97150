"""What the store remembers of messages: the duplicate rule, receipts, rejections, replies, counts, replays."""

from __future__ import annotations

import asyncio

from gateway.model import Reason, RejectionCode
from gateway.store.port import FeedCount, MessageState
from gateway.store.postgres.store import PostgresStore
from tests.contracts.stores import PARTITIONS, batch, message, observation, open_store, raw, write

STORED, REJECTED, DUPLICATE = MessageState.STORED, MessageState.REJECTED, MessageState.DUPLICATE
WRONG = Reason(RejectionCode.VALUE_INVALID, "OBX[1]-5", "not a number")


async def states(store: PostgresStore, *messages) -> list[MessageState]:
    """Apply messages in one batch each; return their states."""
    found = []
    for each in messages:
        applied = await store.apply(batch(each))
        found += [one.state for one in applied.messages]
    return found


async def replies(store: PostgresStore) -> list[bytes]:
    rows = [row for part in range(PARTITIONS) for row in await store.outbox({part: 0}, limit=100) if row.reply_to]
    assert all((row.type, row.id, row.version) == ("", "", 0) for row in rows)
    return [row.body for row in sorted(rows, key=lambda row: (row.at, row.message))]


async def test_a_receipt_tells_what_a_message_made(store):
    sent = message(
        write(observation("a")),
        write({"resourceType": "Provenance", "id": "prov"}),
        provenance="prov",
        receipt="r-1",
        message_type="ORU^R01",
        mapping="7",
        offset=41,
    )
    await store.apply(batch(sent))
    found = await store.message("r-1")
    assert found is not None
    assert (found.state, found.resources, found.reasons) == (STORED, ("Observation/a",), ())
    assert (found.source, found.received_at) == (sent.source, sent.received_at)
    assert (found.message_type, found.mapping, found.duplicate_of) == ("ORU^R01", "7", "")
    assert [row.receipt for row in await store.made("Observation", "a")] == ["r-1"]


async def test_a_known_letter_is_a_duplicate_that_answers_like_the_first(store):
    first = message(write(observation("a")), letter="L", reply=b"<ack/>", reply_content_type="application/xml")
    again = message(write(observation("a", value=2)), letter="L", reply=b"<other/>")
    assert await states(store, first, again) == [STORED, DUPLICATE]
    found = await store.message(again.receipt)
    assert found is not None
    assert (found.state, found.duplicate_of, found.resources) == (DUPLICATE, first.receipt, ("Observation/a",))
    assert (found.reply, found.reply_content_type) == (b"<ack/>", "application/xml")
    assert await replies(store) == [b"<ack/>", b"<ack/>"]
    assert (await store.history("Observation", "a", count=9)).total == 1


async def test_two_messages_with_one_letter_in_one_batch_are_one_message(store):
    one, two = (message(write(observation("a", value=value)), letter="L") for value in (1, 2))
    applied = await store.apply(batch(one, two))
    assert [each.state for each in applied.messages] == [STORED, DUPLICATE]
    found = await store.message(two.receipt)
    assert found is not None
    assert found.duplicate_of == one.receipt


async def test_of_messages_with_one_letter_in_concurrent_transactions_one_is_stored(store, database):
    async with open_store(database.url, schema=store._schema) as other:
        for round_ in range(5):
            sent = [message(write(observation(f"a{round_}", value=n)), letter=f"L{round_}") for n in range(16)]
            applied = await asyncio.gather(*((store, other)[n % 2].apply(batch(each)) for n, each in enumerate(sent)))
            found = sorted(one.messages[0].state for one in applied)
            assert found == [DUPLICATE] * 15 + [STORED]


async def test_the_same_letter_of_another_feed_is_another_message(store):
    found = await states(
        store, message(write(observation("a")), letter="L"), message(write(observation("b")), letter="L", feed="home")
    )
    assert found == [STORED, STORED]


async def test_a_known_envelope_around_a_new_letter_is_rejected_and_the_letter_stays_new(store):
    """MedCom governance, duplicate table."""
    first = message(write(observation("a")), letter="L1", envelope="E1", reply=b"ok")
    lost_reply = message(write(observation("a")), letter="L1", envelope="E1")
    resubmitted = message(write(observation("a")), letter="L1", envelope="E2")
    reused = message(write(observation("b")), letter="L2", envelope="E1", reply=b"ok2", reply_reused=b"fatal")
    reused_again = message(write(observation("b")), letter="L2", envelope="E1", reply_reused=b"fatal")
    envelope_of_resubmission = message(write(observation("c")), letter="L3", envelope="E2")
    repaired = message(write(observation("b")), letter="L2", envelope="E3", reply=b"ok2")
    found = await states(
        store, first, lost_reply, resubmitted, reused, reused_again, envelope_of_resubmission, repaired
    )
    assert found == [STORED, DUPLICATE, DUPLICATE, REJECTED, REJECTED, REJECTED, STORED]
    row = await store.message(reused.receipt)
    assert row is not None
    assert [reason.code for reason in row.reasons] == [RejectionCode.ENVELOPE_REUSED]
    assert (row.resources, row.reply) == ((), b"fatal")
    assert await replies(store) == [b"ok", b"ok", b"ok", b"fatal", b"fatal", b"ok2"]


async def test_envelopes_within_one_batch_follow_the_same_rule(store):
    applied = await store.apply(
        batch(
            message(write(observation("a")), letter="L1", envelope="E"),
            message(write(observation("b")), letter="L2", envelope="E"),
            message(write(observation("a")), letter="L1", envelope="E"),
        )
    )
    assert [each.state for each in applied.messages] == [STORED, REJECTED, DUPLICATE]


async def test_a_reused_control_id_is_a_new_message_that_is_counted(store):
    first = await store.apply(batch(message(write(observation("a")), control_id="1", letter="L1")))
    same = await store.apply(batch(message(write(observation("a")), control_id="1", letter="L1")))
    second = await store.apply(
        batch(
            message(write(observation("b")), control_id="1", letter="L2"),
            message(write(observation("c")), control_id="2", letter="L3"),
            message(write(observation("d")), control_id="2", letter="L4"),
        )
    )
    other_feed = await store.apply(batch(message(write(observation("e")), control_id="1", feed="home")))
    found = [m.control_id_reused for applied in (first, same, second, other_feed) for m in applied.messages]
    assert found == [False, False, True, False, True, False]
    assert [m.state for m in second.messages] == [STORED] * 3


async def test_a_repeated_batch_changes_nothing_and_says_what_became_of_it(store):
    given = batch(message(write(observation("a"))), message(reasons=[WRONG]))
    first = await store.apply(given)
    counts = await store.counts()
    again = await store.apply(given)
    assert [m.state for m in again.messages] == [m.state for m in first.messages] == [STORED, REJECTED]
    assert all(m.versions == () for m in again.messages)
    assert await store.counts() == counts


async def test_a_record_that_a_door_wrote_twice_counts_as_a_duplicate(store):
    """An append whose answer was lost is repeated: one receipt, two places in the log."""
    first = message(write(observation("a")), receipt="r", letter="L", offset=5)
    echo = message(write(observation("a")), receipt="r", letter="L", offset=6)
    assert await states(store, first, echo) == [STORED, DUPLICATE]
    assert await store.counts() == [FeedCount("hospital", stored=1, rejected=0, duplicate=1)]
    found = await store.message("r")
    assert found is not None
    assert found.state is STORED


async def test_counts_add_up_to_what_was_applied(store):
    await states(
        store,
        message(write(observation("a")), letter="L"),
        message(write(observation("a")), letter="L", part=1),
        message(reasons=[WRONG]),
        message(write(observation("b")), reasons=[WRONG]),
        message(write(observation("c")), feed="home"),
    )
    assert await store.counts() == [
        FeedCount("home", stored=1, rejected=0, duplicate=0),
        FeedCount("hospital", stored=2, rejected=1, duplicate=1),
    ]


async def test_rejected_messages_are_listed_newest_first_and_paged_by_receipt(store):
    sent = [message(reasons=[WRONG]) for _ in range(5)]
    partly = message(write(observation("a")), reasons=[WRONG])
    await states(store, *sent, message(write(observation("b"))), message(reasons=[WRONG], feed="home"), partly)
    newest = await store.rejected("hospital", count=4)
    assert [row.receipt for row in newest] == [each.receipt for each in (partly, *sent[:1:-1])]
    assert newest[0].state is STORED
    assert newest[1].reasons == (WRONG,)
    rest = await store.rejected("hospital", count=4, before=newest[-1].receipt)
    assert [row.receipt for row in rest] == [sent[1].receipt, sent[0].receipt]


async def test_a_replay_applies_again_under_the_same_receipt(store):
    first = message(reasons=[WRONG], receipt="r", letter="L", mapping="1")
    await store.apply(batch(first))
    repaired = message(
        write(observation("a")),
        receipt="r",
        letter="L",
        mapping="2",
        replay=True,
        received_at=first.received_at,
        offset=first.source.offset,
    )
    applied = await store.apply(batch(repaired))
    assert applied.messages[0].versions == (("Observation", "a", 1),)
    found = await store.message("r")
    assert found is not None
    assert (found.state, found.reasons, found.mapping, found.resources) == (STORED, (), "2", ("Observation/a",))
    assert await store.counts() == [FeedCount("hospital", stored=1, rejected=0, duplicate=0)]
    assert [row.receipt for row in await store.made("Observation", "a")] == ["r"]


async def test_a_replay_of_an_older_message_does_not_overwrite_a_newer_one(store):
    old, new = message(write(observation("a", value=1))), message(write(observation("a", value=2), minute=5))
    await states(store, old, new)
    for each in (old, new):
        each.replay = True
    old.writes, new.writes = [write(observation("a", value=11))], [write(observation("a", value=22), minute=5)]
    assert [m.late for m in (await store.apply(batch(old))).messages] == [1]
    assert [m.versions for m in (await store.apply(batch(new))).messages] == [(("Observation", "a", 3),)]


async def test_a_replay_that_writes_a_part_of_what_its_message_makes_remembers_all_of_it(store):
    sent = message(write(observation("a")), write(observation("b")))
    await states(store, sent)
    sent.replay, sent.made = True, ("Observation/a", "Observation/b")
    sent.writes = [write(observation("b", value=2), minute=1)]
    await store.apply(batch(sent))
    found = await store.message(sent.receipt)
    assert found is not None
    assert (found.state, found.resources) == (STORED, ("Observation/a", "Observation/b"))


async def test_a_replay_that_only_deletes_what_its_message_made_rejects_it(store):
    sent = message(write(observation("a")))
    await states(store, sent)
    sent.replay, sent.made, sent.reasons = True, (), [WRONG]
    sent.writes = [write(observation("a"), minute=1, deleted=True)]
    await store.apply(batch(sent))
    found = await store.message(sent.receipt)
    assert found is not None
    assert (found.state, found.resources, found.reasons) == (REJECTED, (), (WRONG,))
    assert await store.counts() == [FeedCount("hospital", stored=0, rejected=1, duplicate=0)]


async def test_a_replay_of_a_duplicate_stays_a_duplicate(store):
    first, again = message(write(observation("a")), letter="L"), message(write(observation("a", value=2)), letter="L")
    await states(store, first, again)
    again.replay = True
    assert await states(store, again) == [DUPLICATE]
    assert (await store.history("Observation", "a", count=9)).total == 1


async def test_no_letter_envelope_or_control_id_stands_in_the_database_as_it_was_written(store, database):
    number = "2512489996"
    await store.apply(batch(message(write(observation("a")), letter=number, envelope=number, control_id=number)))
    async with raw(database.url, store._schema) as connection:
        for table in ("message", "resource", "outbox", "feed_count"):
            rows = await connection.fetch(f"select t::text as row from {table} t")
            assert rows
            assert not any(number in row["row"] for row in rows)
