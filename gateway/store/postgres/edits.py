"""What edits of the API will do, decided in memory: given the rows that are stored, which versions come of it. Pure.

An edit replaces the content whole, whoever stated it before: what feeds stated element by element is forgotten, and the
present is when the API stated all of it. What a feed states of an earlier event then comes late, and of a later event is
merged on top. Nothing here belongs to a message: the versions have message 0 (or -1), and no Provenance.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.clock import instant
from gateway.fhir import body as bodies
from gateway.store.port import Edit, Edited, Moved, Version
from gateway.store.postgres.plan import Outgoing
from gateway.store.postgres.rows import TOMBSTONE, Precedence, Row, line_of

NO_MESSAGE: Final = 0
_POSTED: Final = -1
"""Of a version that was created under an id of the server's: a history tells it from one that a PUT created."""
_LINE: Final = line_of("", "")


@dataclass(slots=True)
class Editing:
    """The effect of one transaction of `write`. `add` every group of edits, then read `rows` and `outgoing`."""

    rows: dict[tuple[int, str], Row]
    types: Mapping[str, int]
    now: dt.datetime
    outgoing: list[Outgoing] = field(default_factory=list)

    def add(self, edits: Sequence[Edit]) -> list[Edited]:
        """Plan one group, all or none of it. Raises Moved when one of its resources is not as expected."""
        rows = [self._row(edit) for edit in edits]
        for edit, row in zip(edits, rows, strict=True):
            if edit.expect is not None and row.version != edit.expect:
                raise Moved("the resource is at another version than expected", at=f"{edit.type}/{edit.id}")
        return [self._edit(edit, row) for edit, row in zip(edits, rows, strict=True)]

    def _row(self, edit: Edit) -> Row:
        key = (self.types[edit.type], edit.id)
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row(*key)
        return row

    def _edit(self, edit: Edit, row: Row) -> Edited:
        absent = row.deleted or not row.version
        if absent and not edit.body:  # there is nothing to delete
            return Edited(Version(edit.type, edit.id, row.version, row.updated, b"", deleted=True), new=False)
        before, digest = row.precedence, edit.digest if edit.body else TOMBSTONE
        # never below what stands there: a sender whose clock runs ahead must not win with what it said before
        event, received = (self.now, self.now) if before is None else (before.event, before.received)
        row.precedence = Precedence(max(self.now, event), max(self.now, received), _LINE)
        row.state, row.resource, row.feed = None, None, ""
        new = digest != row.digest
        if new:
            row.next_version(
                body=edit.body,
                digest=digest,
                lane=edit.lane,
                index=edit.index,
                message=_POSTED if edit.posted else NO_MESSAGE,
                now=self.now,
            )
            key = row.lane or f"{edit.type}/{edit.id}"
            self.outgoing.append(Outgoing(key, row.type, row.id, row.version, NO_MESSAGE))
            body = row.body or b""
        else:  # the very bytes that are stored, with their version
            row.noted = True
            body = bodies.stamped(edit.body, row.version, instant(row.updated))
        version = Version(
            edit.type, edit.id, row.version, row.updated, body, row.deleted, row.lane, patient=row.patient
        )
        return Edited(version, new, created=absent)
