"""A search as of its first page: in SQL, what has stayed as it was, and what has been changed since with what it was then.

`AsOf.snapshot` is PostgreSQL's own account of what had been committed (`pg_current_snapshot`). Which version of a
resource was current then follows from it: version n was made, and n - 1 moved into `version`, by the transaction that is
the `xmin` of n - 1's row there, and rows of `version` never change. Only of a first version nothing tells but its time:
one made in the very moment of the first page counts as there.

No transaction is taken to be longer than `_LAG`, nor the clocks of two machines further apart: what was stamped before
that is not looked at. What the changed ones answer, and where they belong on the pages, is `search_former`.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from gateway.search.query import AsOf
from gateway.store.postgres.search_scope import Arguments, Scope, Statement

AT: Final = "pg_current_snapshot()::text"
CHANGED_MAX: Final = 5_000
"""So many changed resources of a type are followed from one page to the next."""
_LAG: Final = dt.timedelta(minutes=1)


def unchanged(as_of: AsOf, put: Arguments) -> str:
    """Return the condition that the resource `r` is as it was."""
    seen = _Seen(as_of, put)
    at, early = put(as_of.at, "timestamptz"), put(as_of.at - _LAG, "timestamptz")
    own = "(select o.xmin from resource o where o.rid = r.rid)"  # `r` may be a subselect, which has none
    before = "p.type = r.type and p.id = r.id and p.version = r.version - 1"
    return (
        f"(r.updated < {early}"
        f" or (r.version = 1 and (r.updated <= {at} or {seen.of(own)}))"
        f" or (r.version > 1 and exists (select from version p where {before} and {seen.of('p.xmin')} offset 0)))"
    )


def changed(scope: Scope, resource_type: str, as_of: AsOf) -> Statement:
    """Return the statement for what is not as it was, with its version of then: columns rid, id, version, updated, lane, patient,
    body; and `among`, of how many that were written since: more than CHANGED_MAX are not looked at. One row at least,
    of nulls where there is none.
    """
    put = scope.put
    seen = _Seen(as_of, put)
    at, early = put(as_of.at, "timestamptz"), put(as_of.at - _LAG, "timestamptz")
    return put.statement(
        f"""with c as materialized (
  select rid, type, id from resource
   where type = {scope.type(resource_type)} and version > 1 and not deleted and updated >= {early}
     and not {seen.of("xmin")}
   limit {CHANGED_MAX + 1}
)
select (select count(*) from c) as among, was.*
  from (select) one left join (
    select c.rid, c.id, v.version, v.updated, v.lane, v.patient, v.body
      from c cross join lateral (
        select coalesce((select p.version from version p where p.type = c.type and p.id = c.id and {seen.of("p.xmin")}
                          order by p.version desc limit 1), 0) + 1 as number offset 0
      ) then_
      join version v on v.type = c.type and v.id = c.id and v.version = then_.number
     where not v.deleted and (v.version > 1 or v.updated <= {at}) and (select count(*) from c) <= {CHANGED_MAX}
  ) was on true"""
    )


class _Seen:
    """Whether the transaction that wrote a row had committed in a snapshot."""

    def __init__(self, as_of: AsOf, put: Arguments) -> None:
        self._base = put(int(as_of.snapshot.split(":")[1]), "bigint")
        self._snapshot = f"(select {put(as_of.snapshot, 'text')}::pg_snapshot)"

    def of(self, xmin: str) -> str:
        """Return the condition for a row's `xmin`. A row has the lower half of its transaction's number: the whole one is the
        nearest to the snapshot's that has it.
        """
        half = f"{xmin}::text::bigint"
        away = f"(((({half} - {self._base}) & 4294967295) # 2147483648) - 2147483648)"
        return f"pg_visible_in_snapshot(greatest({self._base} + {away}, 3)::text::xid8, {self._snapshot})"
