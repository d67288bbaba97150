"""Segment tables of mappings/hl7v2/segments as running rules: field → converter → element, with its official row.

A table renames, looks up and names a converter (converters.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.hospital_hl7v2.converters import CONVERTERS, REMEMBERED
from adapters.hospital_hl7v2.personal import Converter, Elements
from adapters.hospital_hl7v2.setup import keep
from adapters.hospital_hl7v2.work import Work, place
from gateway.formats import er7
from gateway.model import Resource
from gateway.terminology.tables import Row


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One row of a segment table. `outer` and `last` are the names of its element; `many`: whether the last is a list."""

    number: int
    outer: tuple[str, ...]
    last: str
    many: bool
    remembered: bool
    convert: Converter
    argument: str
    name: str
    official: str


def compile_table(rows: Sequence[Row]) -> list[Rule]:
    """Return the rules of a segment table. Raises KeyError for a converter that does not exist."""
    return [
        Rule(
            number=int(row["field"].rpartition("-")[2]),
            outer=tuple(row["element"].split(".")[:-1]),
            last=row["element"].split(".")[-1].removesuffix("[]"),
            many=row["element"].endswith("[]"),
            remembered=row["convert"] in REMEMBERED,
            convert=CONVERTERS[row["convert"]],
            argument=row["argument"],
            name=f"{row['field'].lower()}-{row['convert']}".replace("_", "-"),
            official=row["row"],
        )
        for row in rows
    ]


def apply(
    work: Work, segment: er7.Segment, table: str, target: Resource, reference: str = "", within: str = ""
) -> set[str]:
    """Fill `target` from a segment; return the top-level elements that the sender declared null and nothing filled.

    `reference` (`Type/id`) and `within` (the element that `target` is) are what lineage is noted under; the target's own
    when it is a resource.
    """
    fields = segment.fields
    count = len(fields)
    nulls: set[str] = set()
    trace = work.trace
    remembered = work.setup.memory.fields
    for rule in work.setup.tables.compiled(f"hl7v2/segments/{table}", "rules", compile_table):
        if rule.number >= count:
            continue
        raw = fields[rule.number]
        if not raw:
            continue
        if raw == er7.NULL:
            nulls.add((*rule.outer, rule.last)[0])
            continue
        if trace is not None or not rule.remembered:
            made = rule.convert(work, segment, rule.number, rule.argument)
        elif (known := remembered.get((rule, raw))) is not None:
            made, mentions = known
            if mentions:
                work.mention_again(mentions)
        else:
            made = _convert(work, segment, rule, raw)
        if made is None or made == []:
            continue
        if rule.outer or rule.many or type(made) is Elements:
            _set(target, rule, made)
        elif rule.last not in target:
            target[rule.last] = made
        if trace is not None:
            name = reference or f"{target['resourceType']}/{target['id']}"
            _note(work, rule, made, f"{within}." if within else "", name, place(segment, rule.number))
    if trace is not None and not within:
        work.note_origin(reference or f"{target['resourceType']}/{target['id']}", segment)
    return {name for name in nulls if name not in target} if nulls else nulls


def _convert(work: Work, segment: er7.Segment, rule: Rule, raw: str) -> Any:
    """Convert, and remember what came of it unless something was odd, which has to be told every time."""
    mentioned, noticed = len(work.mentioned), len(work.notices)
    made = rule.convert(work, segment, rule.number, rule.argument)
    if len(work.notices) == noticed:
        keep(work.setup.memory.fields, (rule, raw), (made, tuple(work.mentioned[mentioned:])))
    return made


def _note(work: Work, rule: Rule, made: Any, prefix: str, reference: str, source: str) -> None:
    """Note what a rule set: the elements that a converter chose among, else the element of the table."""
    outer = [name.removesuffix("[]") for name in rule.outer]
    for name in dict.fromkeys(each.lstrip("_") for each in (made if isinstance(made, Elements) else (rule.last,))):
        work.note(reference, prefix + ".".join([*outer, name]), rule.name, rule.official, source)


def _set(target: Resource, rule: Rule, made: Any) -> None:
    last = rule.last
    for name in rule.outer:
        if name.endswith("[]"):
            inner = target.setdefault(name[:-2], [{}])
            target = inner[0]
        else:
            target = target.setdefault(name, {})
    if isinstance(made, Elements):
        for name, value in made.items():
            target.setdefault(name, value)
    elif rule.many:
        target.setdefault(last, []).extend(made if isinstance(made, list) else [made])
    else:
        target.setdefault(last, made)
