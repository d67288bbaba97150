"""The facts that resources state of access (`search.standing`) as rows of their tables (migration access): written by
`indexing`, and asked outside of a search by who logs in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.search.indexed import reference_parameter
from gateway.search.standing import About, Block, Born, Known, Mandate, Relation, Same, Sharer, Standing
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connection

_SQL: Final = statements.load("index")
_ASKED: Final = statements.load("standing")
REPRESENTED_MAX: Final = 200

_COLUMNS: Final[Mapping[type[Standing], tuple[str, tuple[str, ...]]]] = {
    Relation: ("relation", ("rid", "patient", "organisation", "category", "starts", "ends")),
    Block: ("block", ("rid", "patient", "starts", "ends", "actor", "low", "high", "source", "document")),
    Mandate: ("mandate", ("rid", "patient", "actor", "power", "type", "starts", "ends")),
    Known: ("known", ("rid", "name", "also")),
    Born: ("born", ("rid", "patient", "day")),
    Same: ("same_person", ("rid", "patient", "other", "mutual")),
    Sharer: ("sharer", ("rid", "patient")),
    About: ("about", ("rid", "named")),
}


async def represented(connection: Connection, agents: Sequence[int], at: dt.datetime, born_after: dt.date) -> list[str]:
    """Return the ids of the Patients for whom one of these may act."""
    differs = reference_parameter("patient")
    rows = await connection.fetch(_ASKED["represented"], list(agents), at, born_after, differs, REPRESENTED_MAX)
    return [row["id"] for row in rows]


async def write(
    connection: Connection,
    stated: Sequence[tuple[int, Sequence[Standing]]],
    *,
    types: Mapping[str, int],
    forget: Sequence[int],
) -> None:
    """Write the facts of (rid, facts) in the caller's transaction; those of `forget` (rids) go first."""
    if forget:
        await connection.execute(_SQL["forget_standing"], forget)
    rows: dict[type[Standing], list[tuple[Any, ...]]] = {}
    for rid, facts in stated:
        for fact in facts:
            rows.setdefault(type(fact), []).append(_row(rid, fact, types))
    for kind, (table, columns) in _COLUMNS.items():
        if records := rows.get(kind):
            await connection.copy_records_to_table(table, records=records, columns=columns)


def _row(rid: int, fact: Standing, types: Mapping[str, int]) -> tuple[Any, ...]:
    match fact:
        case Relation():
            return (rid, fact.patient, fact.organisation, int(fact.category), fact.starts, fact.ends)
        case Block():
            about = (fact.actor, fact.low, fact.high, fact.source, fact.document)
            return (rid, fact.patient, fact.starts, fact.ends, *about)
        case Mandate():
            of_type = types.get(fact.type, 0) if fact.type else None
            return (rid, fact.patient, fact.actor, fact.power.value, of_type, fact.starts, fact.ends)
        case Known():
            return (rid, fact.name, fact.also)
        case Born():
            return (rid, fact.patient, fact.day)
        case Same():
            return (rid, fact.patient, fact.other, fact.mutual)
        case Sharer():
            return (rid, fact.patient)
        case About():
            return (rid, list(fact.named))
