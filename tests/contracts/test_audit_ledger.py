"""The ledger against those who own its database: every kind of tampering is told, by the first record that shows it."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import Actor, Assurance, Kind, Purpose
from gateway.access.scopes import Scopes
from gateway.audit import chain as links
from gateway.audit import erasure, proof
from gateway.audit.block import hashes, lines
from gateway.audit.checkpoint import Checkpoint, Key, stamp
from gateway.audit.keeper import TICK_SECONDS, seal_own
from gateway.audit.record import decode, encode, who
from gateway.audit.verify import Wrong
from gateway.errors import Incorrect, NotFound, Unavailable
from gateway.observe.events import silent
from gateway.store.ledger import Block, Forked
from tests.contracts.ledgers import World, record, world
from tests.contracts.stores import Database


@pytest.fixture
async def ours(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world(database.url, tmp_path) as made:
        yield made


async def test_what_was_written_verifies_and_says_what_was_given(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 5)
    await ours.sealed(ledger)
    await ours.write(ledger, 2)
    report = await ours.verified()
    assert report.sound
    assert (report.records, report.checkpoints, report.unsealed, report.witnessed) == (7, 1, 2, 1)
    (block,) = list(await ours.store.blocks(1, 4, 1))
    (line,) = lines(block)
    said = line.record()
    assert (said.patients, said.resources, said.client, said.source) == (
        (7,),
        ("Observation/o4/1",),
        "app",
        "127.0.0.1",
    )
    await ledger.stop()
    assert (await ours.verified()).unsealed == 0


async def test_records_that_wait_together_share_a_commit_and_stand_in_order(ours: World) -> None:
    ledger = ours.writer()
    await asyncio.gather(*(ledger.write(record(number)) for number in range(100)))
    blocks = await ours.store.blocks(1, 0, 100)
    assert len(blocks) < 20
    assert [line.seq for block in blocks for line in lines(block)] == list(range(1, 101))
    assert (await ours.verified()).sound


async def test_two_writers_at_once_have_chains_of_their_own(ours: World) -> None:
    first, second = ours.writer(), ours.writer()
    await asyncio.gather(*(one.write(record(number)) for number in range(50) for one in (first, second)))
    await first.stop()
    await second.stop()
    report = await ours.verified(asked=False)
    assert report.sound
    assert report.records == 100
    assert len(await ours.store.chains()) == 2


FLIPS = {
    "what was done": "update audit_block set events = set_byte(events, 20, get_byte(events, 20) # 1) where first = 4",
    "who it was": "update audit_block set personal = set_byte(personal, 40, get_byte(personal, 40) # 1) where first = 4",
    "the salt": "update audit_block set personal = set_byte(personal, 0, get_byte(personal, 0) # 1) where first = 4",
    "a hash": "update audit_block set hashes = set_byte(hashes, 5, get_byte(hashes, 5) # 1) where first = 4",
    "when it was": "update audit_block set at = at + interval '1 microsecond' where first = 4",
    "a line put in": "update audit_block set events = events || '\\x0a7b7d'::bytea where first = 4",
    "a line taken out": "update audit_block set personal = ''::bytea where first = 4",
}


@pytest.mark.parametrize("statement", FLIPS.values(), ids=FLIPS.keys())
async def test_a_changed_record_is_named(ours: World, statement: str) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 6)
    await ours.sealed(ledger)
    async with ours.tampering() as hand:
        await hand.execute(statement)
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.CHANGED, 4)


async def test_a_changed_record_within_a_block_of_many_is_named(ours: World) -> None:
    ledger = ours.writer()
    await asyncio.gather(*(ledger.write(record(number)) for number in range(40)))
    block = (await ours.store.blocks(1, 0, 10))[-1]
    events = block.events.split(b"\n")
    place = len(events) // 2
    events[place] = events[place].replace(b"200", b"404")
    async with ours.tampering() as hand:
        await hand.execute("update audit_block set events = $1 where first = $2", b"\n".join(events), block.first)
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.CHANGED, block.first + place)


async def test_a_deleted_record_is_named(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 6)
    async with ours.tampering() as hand:
        await hand.execute("delete from audit_block where first = 3")
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.MISSING, 3)


async def test_records_that_changed_places_are_named(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 6)
    async with ours.tampering() as hand:
        await hand.execute("update audit_block set first = first + 100, upto = upto + 100 where first in (2, 5)")
        await hand.execute(
            "update audit_block set first = case first when 102 then 5 else 2 end, upto = case upto when 102 then 5 else 2 end where first > 100"
        )
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.CHANGED, 2)


async def test_a_cut_tail_is_told_by_the_checkpoint_and_after_that_is_cut_too_by_the_witness(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 3)
    await ours.sealed(ledger)
    await ours.write(ledger, 3)
    await ours.sealed(ledger)
    async with ours.tampering() as hand:
        await hand.execute("delete from audit_block where first > 4")
        (finding,) = (await ours.verified(asked=False)).findings
        assert (finding.wrong, finding.seq) == (Wrong.CUT, 5)
        await hand.execute("delete from audit_checkpoint where number = 2")
    assert (await ours.verified(asked=False)).sound
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.CUT, 5)


async def test_of_what_is_ten_seconds_old_the_witness_knows_within_two_ticks(ours: World) -> None:
    """The bound of what can be cut off unseen (docs/explanation/audit.md), with writer and keeper as processes run them."""
    ledger, stop = ours.writer(), asyncio.Event()
    await ours.write(ledger, 1)
    assert await ledger.seal(), "of a new chain the witness hears at once"
    working = [asyncio.create_task(seal_own(ledger, silent, stop)), asyncio.create_task(ours.keeper(ledger).run(stop))]
    try:
        await ours.write(ledger, 5)
        ours.clock.advance(dt.timedelta(seconds=9))
        await asyncio.sleep(2.5 * TICK_SECONDS)
        assert len(ours.witness.lines) == 1, "nothing is due before its time"
        ours.clock.advance(dt.timedelta(seconds=1))
        await asyncio.sleep(2.5 * TICK_SECONDS)
        assert len(ours.witness.lines) == 2
        ours.clock.advance(dt.timedelta(seconds=60))
        await asyncio.sleep(1.5 * TICK_SECONDS)
        assert len(ours.witness.lines) == 2, "where nothing is new nothing is signed"
    finally:
        stop.set()
        await asyncio.gather(*working)
    async with ours.tampering() as hand:
        await hand.execute("delete from audit_checkpoint where number > 1")
        await hand.execute("delete from audit_block where first > 1")
    assert (await ours.verified(asked=False)).sound
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.CUT, 2)


async def test_a_cut_head_is_not_taken_for_retention(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 3)
    await ours.sealed(ledger)
    await ours.write(ledger, 3)
    async with ours.tampering() as hand:
        await hand.execute("delete from audit_block where first <= 3")
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.HEADLESS, 1)


async def test_a_chain_that_is_gone_whole_is_told_by_the_witness(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 3)
    await ours.sealed(ledger)
    async with ours.tampering() as hand:
        await hand.execute("delete from audit_checkpoint")
        await hand.execute("delete from audit_block")
        await hand.execute("delete from audit_chain")
    assert (await ours.verified(asked=False)).sound
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.chain) == (Wrong.CUT, 1)


async def rewritten(ours: World, chain: int = 1) -> None:
    """Tell another story from record 2 on, every hash made anew."""
    blocks = await ours.store.blocks(chain, 0, 100)
    before = hashes(blocks[0])[-1]
    async with ours.tampering() as hand:
        for block in blocks[1:]:
            event = block.events.replace(b'"app"', b'"ape"')
            before = links.linked(before, block.first, links.moment(block.at), event, links.commitment(block.personal))
            await hand.execute(
                "update audit_block set events = $1, hashes = $2 where chain = $3 and first = $4",
                event,
                before,
                chain,
                block.first,
            )


async def test_a_rewritten_chain_contradicts_its_signed_checkpoints(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 6)
    await ours.sealed(ledger)
    await rewritten(ours)
    (finding,) = (await ours.verified(asked=False)).findings
    assert (finding.wrong, finding.seq) == (Wrong.REWRITTEN, 1)


async def test_a_fork_that_was_even_signed_is_told_by_the_witness(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 6)
    await ours.sealed(ledger)
    await rewritten(ours)
    (row,) = await ours.store.checkpoints(1)
    old = Checkpoint.read(row.body, {ours.key.name: ours.key.public})
    leaves = [one for block in await ours.store.blocks(1, 0, 100) for one in hashes(block)]
    forged = Checkpoint(1, old.name, 1, 1, 6, leaves[-1].hex(), links.root(leaves).hex(), "", stamp(ours.clock.now()))
    async with ours.tampering() as hand:
        await hand.execute("update audit_checkpoint set body = $1", forged.line(ours.key))
    assert (await ours.verified(asked=False)).sound
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.seq) == (Wrong.FORKED, 1)


async def test_a_checkpoint_of_another_key_or_with_other_words_does_not_hold(ours: World, tmp_path: Path) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 1)
    await ours.sealed(ledger)
    (row,) = await ours.store.checkpoints(1)
    other = Key.open(tmp_path / "other.pem")
    with pytest.raises(Incorrect):
        Checkpoint.read(row.body, {other.name: other.public})
    for place in range(0, len(row.body), 7):
        broken = bytearray(row.body)
        broken[place] ^= 1
        with pytest.raises(Incorrect):
            Checkpoint.read(bytes(broken), {ours.key.name: ours.key.public})


async def test_a_restore_from_an_older_backup_is_told(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 2)
    await ours.sealed(ledger)
    async with ours.tampering() as hand:
        for table in ("audit_block", "audit_checkpoint"):
            await hand.execute(f"create table backup_{table} as select * from {table}")
    await ours.write(ledger, 2)
    await ours.sealed(ledger)
    async with ours.tampering() as hand:
        for table in ("audit_block", "audit_checkpoint"):
            await hand.execute(f"delete from {table}")
            await hand.execute(f"insert into {table} select * from backup_{table}")
    later = ours.writer()  # the gateway starts again and goes on
    await ours.write(later, 3)
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.chain, finding.seq) == (Wrong.CUT, 1, 3)


async def test_the_database_refuses_to_change_delete_and_empty_what_was_written(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 1)
    await ours.sealed(ledger)
    connection = await asyncpg.connect(ours.url, server_settings={"search_path": ours.schema})
    for table in ("audit_block", "audit_checkpoint", "audit_chain"):
        for statement in (f"update {table} set chain = chain", f"delete from {table}", f"truncate {table} cascade"):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement)
    await connection.close()
    assert (await ours.verified()).sound


async def test_the_database_refuses_a_second_record_of_one_number(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 2)
    (block,) = await ours.store.blocks(1, 1, 1)
    with pytest.raises(Forked):
        await ours.store.append(block)


async def test_a_writer_whose_chain_was_written_to_by_another_begins_a_new_one(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 1)
    strange = Block(1, 2, 2, ours.clock.now(), [], b"x" * 32, b"{}", b"0" * 32 + b"{}")
    await ours.store.append(strange)
    with pytest.raises(Unavailable):
        await ledger.write(record())
    await ledger.write(record())
    assert [chain.number for chain in await ours.store.chains()] == [1, 2]
    (finding,) = (await ours.verified()).findings
    assert (finding.wrong, finding.chain, finding.seq) == (Wrong.CHANGED, 1, 2)


async def test_after_a_commit_of_which_it_did_not_hear_a_writer_goes_on_where_it_is(ours: World) -> None:
    class Deaf:
        """A store whose answer gets lost once, after or before it has done what it was asked to."""

        def __init__(self, done: bool) -> None:
            self.done = done
            self.lost = True

        def __getattr__(self, name: str) -> object:
            return getattr(ours.store, name)

        async def append(self, block: Block) -> None:
            if self.lost and block.first > 1:
                self.lost = False
                if self.done:
                    await ours.store.append(block)
                raise Unavailable("the connection was lost")
            await ours.store.append(block)

    from gateway.audit.ledger import Ledger

    for done in (True, False):
        ledger = Ledger(Deaf(done), ours.key, ours.clock)  # type: ignore[arg-type]
        await ledger.write(record(1))
        with pytest.raises(Unavailable):
            await ledger.write(record(2))
        await ledger.write(record(3))
        await ledger.stop()
    report = await ours.verified(asked=False)
    assert report.sound
    assert report.records == 3 + 2
    assert report.unsealed == 0


async def test_the_chain_of_a_dead_writer_is_sealed_and_closed_by_the_keeper(ours: World) -> None:
    dead = ours.writer()
    await ours.write(dead, 3)
    await ours.sealed(dead)
    await ours.write(dead, 4)
    ours.clock.advance(dt.timedelta(seconds=10))
    keeper = ours.keeper(ours.writer())
    assert await keeper.adopt() == 0
    ours.clock.advance(dt.timedelta(seconds=600))
    assert await keeper.adopt() == 1
    assert await keeper.adopt() == 0
    await keeper.send()
    report = await ours.verified()
    assert report.sound
    assert (report.unsealed, report.checkpoints, report.witnessed) == (0, 2, 2)


async def test_checkpoints_wait_for_their_witness(ours: World) -> None:
    ledger = ours.writer()
    keeper = ours.keeper(ledger)
    keeper.witnesses = {}
    await ours.write(ledger, 1)
    ours.clock.advance(dt.timedelta(seconds=61))
    await ledger.seal()
    assert await keeper.send() == 0
    assert (await ours.store.behind()).unsent == 1
    async with ours.tampering() as hand:
        await hand.execute("update audit_unsent set next = now()")
    assert await ours.keeper(ledger).send() == 1
    assert (await ours.store.behind()).unsent == 0
    assert len(ours.witness.lines) == 1


async def test_retention_takes_the_oldest_says_so_and_the_rest_verifies(ours: World) -> None:
    ledger = ours.writer()
    await ours.write(ledger, 3)
    await ours.sealed(ledger)
    ours.clock.advance(dt.timedelta(days=400))
    await ours.write(ledger, 3)
    await ours.sealed(ledger)
    keeper = ours.keeper(ledger, dt.timedelta(days=365))
    assert await keeper.forget() == 3
    assert [block.first for block in await ours.store.blocks(1, 0, 10)] == [4, 5, 6, 7]
    assert b"pruned" in (await ours.store.blocks(1, 0, 10))[-1].events
    report = await ours.verified()
    assert report.sound
    assert report.records == 4
    assert await keeper.forget() == 0


async def test_erasure_leaves_the_chain_and_nothing_of_the_person(ours: World) -> None:
    ledger = ours.writer()
    await asyncio.gather(*(ledger.write(record(number, patient=number)) for number in range(4)))
    await ours.sealed(ledger)
    await erasure.erase(ours.store, ledger, [(1, 2), (1, 3)])
    report = await ours.verified()
    assert report.sound
    assert report.erased == 2
    block = await ours.store.holding(1, 2)
    assert block is not None
    assert b"Observation/o1/" not in block.personal
    assert b"127.0.0.1" in block.personal
    said = {line.seq: line.record() for each in await ours.store.blocks(1, 0, 10) for line in lines(each)}
    assert said[2].erased
    assert said[2].patients == ()
    assert said[2].client == "app"
    assert said[4].patients == (3,)
    for patient in (1, 2):
        assert not await ours.store.newest(low=None, high=None, upto=None, limit=9, patients=[patient])
    with pytest.raises(NotFound):
        await erasure.erase(ours.store, ledger, [(1, 99)])


async def test_every_record_can_be_proved_and_no_other_text_in_its_place(ours: World) -> None:
    ledger = ours.writer()
    keys = {ours.key.name: ours.key.public}
    await ours.write(ledger, 3)
    await ours.sealed(ledger)
    await asyncio.gather(*(ledger.write(record(number)) for number in range(9)))
    with pytest.raises(NotFound):
        await proof.prove(ours.store, 1, 5, keys)
    await ours.sealed(ledger)
    for seq in range(1, 13):
        made = await proof.prove(ours.store, 1, seq, keys)
        assert proof.holds(made, keys)
        made["record"]["event"] = made["record"]["event"].replace("200", "403")
        assert not proof.holds(made, keys)


def naive(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    cut = max(1 << n for n in range(20) if 1 << n < len(leaves))
    return hashlib.sha256(b"\1" + naive(leaves[:cut]) + naive(leaves[cut:])).digest()


@given(st.integers(0, 70), st.data())
def test_trees_are_those_of_rfc_6962_and_paths_lead_to_their_root(count: int, data: st.DataObject) -> None:
    leaves = [number.to_bytes(32, "big") for number in range(count)]
    assert links.root(leaves) == naive(leaves)
    if count:
        place = data.draw(st.integers(0, count - 1))
        beside = links.path(leaves, place)
        assert links.root_of_path(leaves[place], place, count, beside) == links.root(leaves)
        assert links.root_of_path(b"\xff" * 32, place, count, beside) != links.root(leaves)


def test_a_record_says_who_and_why_and_keeps_no_persons_number() -> None:
    actor = Actor(
        "ehr",
        Scopes(),
        kind=Kind.STAFF,
        purpose=Purpose.VAERDISPRING,
        subject="u-1",
        organisation="265161000016000",
        role="7170",
        authorisation="ABC12",
        assurance=Assurance.HIGH,
        reason="akut, patient 251248-9996 er bevidstløs",
        session="s-1",
    )
    event, personal = encode(record(rules=("relation-missing", "vaerdispring")), who(actor))
    said = decode(event, b"0" * 32 + personal)
    assert (said.kind, said.purpose, said.role, said.assurance, said.rules) == (
        "staff", "vaerdispring", "7170", 3, ("relation-missing", "vaerdispring"),
    )  # fmt: skip
    assert said.reason == "akut, patient … er bevidstløs"
    assert b"u-1" not in event
    assert b"ABC12" not in event
    with pytest.raises(KeyError):
        encode({"event": "read", "cpr": "x"})
