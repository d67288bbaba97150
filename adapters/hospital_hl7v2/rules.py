"""Segment tables of mappings/hl7v2/segments as running rules: field → converter → element, with its official row.

A table renames, looks up and names a converter (converters.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.hospital_hl7v2.converters import CONVERTERS
from adapters.hospital_hl7v2.personal import Converter, Elements
from adapters.hospital_hl7v2.work import Work, place
from gateway.formats import er7
from gateway.model import Resource
from gateway.terminology.tables import Row


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a segment table. `path` is one or two element names; `many` says whether the last is a list."""

    number: int
    path: tuple[str, ...]
    many: bool
    convert: Converter
    argument: str
    name: str
    official: str


def compile_table(rows: Sequence[Row]) -> list[Rule]:
    """Return the rules of a segment table. Raises KeyError for a converter that does not exist."""
    return [
        Rule(
            number=int(row["field"].rpartition("-")[2]),
            path=tuple(row["element"].removesuffix("[]").split(".")),
            many=row["element"].endswith("[]"),
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
    for rule in work.setup.tables.compiled(f"hl7v2/segments/{table}", "rules", compile_table):
        if rule.number >= count:
            continue
        raw = fields[rule.number]
        if not raw:
            continue
        if raw == er7.NULL:
            nulls.add(rule.path[0])
            continue
        made = rule.convert(work, segment, rule.number, rule.argument)
        if made is None or made == []:
            continue
        _set(target, rule, made)
        if work.trace is not None:
            name = reference or f"{target['resourceType']}/{target['id']}"
            _note(work, rule, made, f"{within}." if within else "", name, place(segment, rule.number))
    if work.trace is not None and not within:
        work.note_origin(reference or f"{target['resourceType']}/{target['id']}", segment)
    return {name for name in nulls if name not in target}


def _note(work: Work, rule: Rule, made: Any, prefix: str, reference: str, source: str) -> None:
    """Note what a rule set: the elements that a converter chose among, else the element of the table."""
    *outer, last = (name.removesuffix("[]") for name in rule.path)
    for name in dict.fromkeys(each.lstrip("_") for each in (made if isinstance(made, Elements) else (last,))):
        work.note(reference, prefix + ".".join([*outer, name]), rule.name, rule.official, source)


def _set(target: Resource, rule: Rule, made: Any) -> None:
    *outer, last = rule.path
    for name in outer:
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
