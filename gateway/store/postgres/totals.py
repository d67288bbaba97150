"""How many resources answer a question, remembered for as long as nothing has been written.

To count is to read every match, and the first page of a question is asked for far more often than the store changes
between two of them. The sum of the outbox heads is the number of versions ever made (statements/apply.sql moves them in
the transaction that makes a version), and it stands in the same snapshot as the count: while it is what it was, so is
the count. Nothing of this is an estimate.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.store.postgres.connections import Connection
from gateway.store.postgres.search_scope import Statement

_KNOWN_MAX: Final = 4096
_AT: Final = "(select coalesce(sum(seq), 0)::bigint from outbox_head)"


@dataclass(slots=True)
class Totals:
    """Totals already counted, by question."""

    _known: OrderedDict[tuple[Any, ...], tuple[int, int]] = field(default_factory=OrderedDict)
    """(when, total): `when` is the number of versions ever made."""

    async def count(self, connection: Connection, asked: Statement) -> int:
        """Return the total that a statement counts, counted again only if something has been written since."""
        key = (asked.sql, *(tuple(one) if isinstance(one, list) else one for one in asked.arguments))
        at, known = self._known.get(key, (-1, 0))
        then = len(asked.arguments) + 1
        sql = f"select {_AT} as at, case when {_AT} <> ${then}::bigint then ({asked.sql}) end as total"
        found = await connection.fetchrow(sql, *asked.arguments, at)
        assert found is not None
        if found["total"] is None:
            self._known.move_to_end(key)
            return known
        total: int = found["total"]
        self._known[key] = (found["at"], total)
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return total
