"""What a resource is sorted by where nothing but its body says it: codes, references, and addresses that have no rows.

Of a token or reference the index has a hash alone. So these keys are read out of the body of every resource that answers
and then sorted (`search_order`, up to `search.SORT_MAX` of them). The plain reading of the same is
`gateway.search.stated.sort_key`; a law says that both agree.
"""

from __future__ import annotations

import functools
from typing import Final

from gateway.search.parameters import Kind, Parameter, Place, Step
from gateway.search.stated import BETWEEN
from gateway.store.postgres.index_rows import NO_STRINGS

_DOCUMENT: Final = r"replace(convert_from(r.body, 'UTF8'), '\u0000', '\ufffd')::jsonb"
"""A jsonb holds no NUL; written so, an escaped backslash before `u0000` stays one."""
_CODED: Final = {"CodeableConcept": "code", "Coding": "code", "Identifier": "value", "ContactPoint": "value"}
_DEAD: Final = "b.doc -> 'deceasedBoolean' = 'true' or b.doc ? 'deceasedDateTime'"


def reads(parameter: Parameter) -> bool:
    """Say whether results are sorted by a parameter as bodies state it."""
    return parameter.kind in {Kind.TOKEN, Kind.REFERENCE} or parameter.name in NO_STRINGS


@functools.cache
def key_of(parameter: Parameter, *, descending: bool) -> str:
    """Return the value of a resource `r` in SQL, null where it has none: of several the one that comes first."""
    held = " union all ".join(select for place in parameter.paths if (select := _values(parameter, place)))
    best = "max" if descending else "min"
    return (
        f'(select {best}(k collate "C") from (select {_DOCUMENT} as doc offset 0) b'
        f" cross join lateral ({held or 'select null::text'}) held (k))"
    )


def _values(parameter: Parameter, place: Place) -> str:
    """Return a select of all values at a place, '' for a data type that this kind of parameter does not read."""
    kind, way = place.type, "$" + "".join(map(_step, place.steps))
    code = _CODED.get(kind)
    if kind == "Truth":
        return f"select {_joined()} || case when {_DEAD} then 'true' else 'false' end"
    if parameter.kind is Kind.TOKEN and code:
        way += '."coding"[*]' if kind == "CodeableConcept" else ""
        coded = f"coalesce(v ->> 'system', '') || {_joined()} || (v ->> '{code}')"
        return f"select {coded} from {_at(way)} v where jsonb_typeof(v -> '{code}') = 'string'"
    if parameter.kind is Kind.TOKEN and kind == "boolean":
        return f"select {_joined()} || (v #>> '{{}}') from {_at(way)} v where jsonb_typeof(v) = 'boolean'"
    if kind == "Reference":
        return _references(f"split_part(v ->> 'reference', '/_history/', 1) as t from {_at(way)} v", place.target)
    if kind == "Resource":
        return f"select (v ->> 'resourceType') || '/' || (v ->> 'id') from {_at(way)} v"
    if kind in {"code", "string", "id", "uri", "canonical", "url"}:
        text = f"select v #>> '{{}}' as t from {_at(way)} v where jsonb_typeof(v) = 'string'"
        if parameter.kind is Kind.TOKEN:
            return f"select {_joined()} || t from ({text}) w"
        return f"select t from ({text}) w where t not like '#%'" if parameter.kind is Kind.REFERENCE else text
    return ""


def _references(select: str, target: str) -> str:
    """Return literal references but for those into the resource itself; with a target, those to that type alone."""
    only = f" and t ~ '(^|/){target}/[^/]*$'" if target else ""
    return f"select t from (select {select}) w where t not like '#%'{only}"


def _joined() -> str:
    return f"chr({ord(BETWEEN)})"


def _at(way: str) -> str:
    return f"jsonb_path_query(b.doc, '{way}')"


def _step(step: Step) -> str:
    """Return one name of a lax path, which unwraps what repeats and passes over what is not there."""
    kept = f' ? (@."{step.where[0]}" == "{step.where[1]}")' if step.where else ""
    return f'."{step.name}"[*]{kept}'
