"""How often a token stands in the store, by PostgreSQL's own statistics: what decides whether the token index drives.

ANALYZE keeps the most common elements of `resource.tokens`, the most common codes and the share of each type. What it
does not list is rare.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.store.postgres.connections import Connection

_LOOK: Final = """
select s.attname as name, s.most_common_elems::text::bigint[] as tokens, s.most_common_elem_freqs as token_shares,
       case when s.attname <> 'tokens' then s.most_common_vals::text::bigint[] end as values,
       s.most_common_freqs as shares, greatest(c.reltuples, 0) as rows
  from pg_stats s join pg_class c on c.oid = to_regclass(s.tablename)
 where s.schemaname = current_schema() and s.tablename = 'resource' and s.attname in ('tokens', 'type', 'code')
"""
_TIDY: Final = "select case when pg_is_in_recovery() then 0 else gin_clean_pending_list('resource_tokens') end"
"""Entries that wait to go into the token index are looked through by every search in it: a third of a millisecond when the
list is full, and a walk may search a thousand times. Whoever fills it empties it; after the last write nobody would.
"""
_LOOK_SECONDS: Final = 60.0
_FEW_MIN: Final = 50
_FEW_MAX: Final = 1000


@dataclass(slots=True)
class Frequencies:
    """About how many resources hold a token, how many have a code in its column, and how many there are of a type."""

    tokens: Mapping[int, float] = field(default_factory=dict)
    codes: Mapping[int, float] = field(default_factory=dict)
    types: Mapping[int, float] = field(default_factory=dict)
    looked: int = 0
    """How often the statistics have been read: what was decided by others does not count."""
    _look_at: float = 0.0

    def rows(self, tokens: Collection[int]) -> float:
        """Return about how many resources hold one of these tokens; 0 stands for few."""
        return sum(self.tokens.get(token, 0.0) for token in tokens)

    def coded(self, codes: Collection[int]) -> float:
        """Return about how many resources have one of these codes as their preferred one."""
        return sum(self.codes.get(code, 0.0) for code in codes)

    def rare(self, tokens: Collection[int], type_code: int, limit: int, *, beside: float = 0.0) -> bool:
        """Say whether reading every match costs less than walking the type in order until `limit` matches are met.

        Matches M of T resources: the token index reads M rows, the walk about limit * T / M. `beside` are matches that
        stand elsewhere than among the tokens.
        """
        matches = self.rows(tokens) + beside
        return matches * matches <= limit * self.types.get(type_code, 0.0)

    def few(self, type_code: int, limit: int) -> int:
        """Return up to how many matches are worth reading all (see `rare`), of what no statistics tell."""
        return int(min(_FEW_MAX, max(_FEW_MIN, math.sqrt(limit * self.types.get(type_code, 0.0)))))

    @property
    def stale(self) -> bool:
        """Whether the last look is a minute old."""
        return time.monotonic() >= self._look_at

    async def look(self, connection: Connection) -> None:
        """Read the statistics, and see that what was written last is in the token index."""
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self.looked += 1
        await connection.execute(_TIDY)
        for row in await connection.fetch(_LOOK):
            name, count = row["name"], row["rows"]
            values, shares = (
                (row["tokens"], row["token_shares"]) if name == "tokens" else (row["values"], row["shares"])
            )
            if values is None:
                continue
            # behind the tokens' shares stand their least, their greatest, and that of nulls
            found = {value: share * count for value, share in zip(values, shares[: len(values)], strict=True)}
            match name:
                case "type":
                    self.types = found
                case "code":
                    self.codes = found
                case _:
                    self.tokens = found
