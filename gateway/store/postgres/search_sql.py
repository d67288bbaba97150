"""A query → one SQL statement and its arguments. Pure; `search` runs it.

A statement is one or more *branches* (`search_plan`), each an index walk of its own in the order asked for, cut at the
page size; together they hold every match once. Values are arguments, never text.

`Observation?patient=Patient/p&code=8480-6` becomes::

    select rid, version, updated, id, lane, body, low as key from resource r
     where type = 89 and not deleted and patient = $1 and code = $2 order by low desc nulls last, rid desc limit 21
    union all … the token index for other codings of a resource …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.search.query import Query, Term
from gateway.store.postgres import search_order as orders
from gateway.store.postgres import search_snapshot as snapshot
from gateway.store.postgres.search_plan import Branch, Plan
from gateway.store.postgres.search_scope import Scope, Statement
from gateway.store.postgres.search_terms import holds

_COLUMNS: Final = "r.rid, r.version, r.updated, r.id, r.lane, r.patient, r.body"
_AT: Final = f"null, null, null, {snapshot.AT}, null, null, null, null"
"""A row of a page by a `Sort` that holds, as its id, what had been committed when the page was read."""


def page(query: Query, scope: Scope, told: Sequence[Term] = ()) -> Statement:
    """Return the statement for one page, count + 1 rows: columns rid, version, updated, id, lane, body, and the order's
    key, or k1, k2 … of `Query.order`; and t1, t2 …, whether the resource answers terms that are `told` of every row.
    Its shared form has one more row, last, whose place is 0: its id says what had been committed.
    """
    plan = Plan(query, scope)
    columns = _COLUMNS
    for place, term in enumerate(told, 1):
        columns += f", ({holds(scope, term, 'r', query.type)}) is true as t{place}"
    if query.order or told:
        return _statement(plan, scope, (_by_keys if query.order else _by_sort)(plan, scope, columns))
    return _statement(plan, scope, _by_sort(plan, scope, columns), beside=_AT)


def told_when(sql: str) -> str:
    """Return a statement that also says, as `at`, what had been committed when it was read."""
    return f"select found.*, (select {snapshot.AT}) as at from (\n{sql}\n) found"


def sorts_all(query: Query, scope: Scope) -> bool:
    """Say whether a page is had by sorting all that answers: no index gives the order."""
    return bool(query.order) and not orders.keys(scope, query.type, query.order[:1])[0].walks


def total(query: Query, scope: Scope, most: int | None = None) -> Statement:
    """Return the statement that counts all matches, wherever the page is; more than `most` of a branch are not counted."""
    plan = Plan(query, scope, counts=True)
    counts = [_count(plan, branch, most) for branch in plan.branches]
    return _statement(plan, scope, f"select {' + '.join(counts)} as total")


def _statement(plan: Plan, scope: Scope, select: str, *, beside: str = "") -> Statement:
    if plan.selects:
        listed = ",\n".join(f"{name} as materialized ({sql})" for name, sql in plan.selects)
        select = f"with {listed}\n{select}"
    small = all(branch.few and not branch.gate for branch in plan.branches)
    return scope.put.statement(select, small=small, beside=beside)


def _count(plan: Plan, branch: Branch, most: int | None) -> str:
    where = " and ".join([*plan.conditions(branch), *([branch.gate] if branch.gate else [])])
    source = f"{branch.through} i, {branch.source}" if branch.through else branch.source
    if most is None:
        return f"(select count(*) from {source} where {where})"
    return f"(select count(*) from (select from {source} where {where} limit {most + 1}) counted)"


def _read(branch: Branch, where: str, *, walks: bool = False) -> str:
    """Return what a branch reads and where. Few are read before they are sorted: `offset 0` keeps the planner from
    walking all there are in the order asked for instead.
    """
    if branch.few and not walks:
        return f"(select * from {branch.source} where {where} offset 0) r"
    return f"{branch.source} where {where}"


def _by_sort(plan: Plan, scope: Scope, columns: str) -> str:
    query = plan.query
    limit = query.count + 1
    key = orders.column_of(query.sort)
    by_date = key == "r.low"
    selects = []
    for branch in plan.branches:
        for conditions, order in orders.walks(query, plan.conditions(branch), scope.put, dated=plan.dated):
            where = " and ".join([*conditions, *([branch.gate] if branch.gate and not branch.through else [])])
            read = _read(branch, where, walks=branch.dated and by_date)
            walk = f"select {columns}, {key} as key from {read} order by {order} limit {limit}"
            if branch.through:
                walk = f"select x.* from {branch.through} i cross join lateral ({walk}) x where {branch.gate}"
            selects.append(walk)
    if len(selects) == 1 and not plan.branches[0].through:
        return selects[0]
    joined = "\nunion all\n".join(f"({select})" for select in selects)
    outer = "key desc nulls last, rid desc" if query.sort in orders.NEWEST else "key nulls last, rid"
    return f"select * from (\n{joined}\n) found order by {outer} limit {limit}"


def _by_keys(plan: Plan, scope: Scope, columns: str) -> str:
    """Return the select of a page in an order of keys: few resources are sorted, all others walked by the first key."""
    query, limit = plan.query, plan.query.count + 1
    order = orders.keys(scope, query.type, query.order)
    sorted_by = ", ".join(f"{key.of} as k{place}" for place, key in enumerate(order, 1))
    names = [f"f.k{place}" for place in range(1, len(order) + 1)]
    later = f" where {orders.beyond(order, query.after, scope.put, names, 'f')}" if query.after is not None else ""
    selects = []
    for branch in plan.branches:
        gated = [branch.gate] if branch.gate else []
        if branch.few or not order[0].walks:
            where = " and ".join([*plan.conditions(branch), *gated])
            found = f"select {columns}, {sorted_by} from {_read(branch, where)}"
            selects.append(f"select * from ({found}) f{later} order by {orders.order_by(order)} limit {limit}")
            continue
        walk, without = orders.in_order(order, query.after, scope.put, limit, columns)
        if walk:
            name = scope.name("walk")
            where = " and ".join([*plan.conditions(branch), *gated])
            plan.selects.append((name, walk.replace(orders.CONDITIONS, where)))
            selects.append(f"select * from {name}")
            gated = [*gated, f"(select count(*) from {name}) < {limit}"]
        if without:
            where = " and ".join([*plan.conditions(branch), *gated])
            selects.append(without.replace(orders.CONDITIONS, where))
    if len(selects) == 1:
        return selects[0]
    joined = "\nunion all\n".join(f"({select})" for select in selects)
    return f"select * from (\n{joined}\n) found order by {orders.order_by(order)} limit {limit}"
