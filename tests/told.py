"""Looks for persons' numbers where none may be: logs, metrics, traces, PostgreSQL's log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tests.gateway import Gateway
from tests.messages import Person


def told_about(people: Iterable[Person], gateway: Gateway, traces: Sequence[bytes] = ()) -> dict[str, list[str]]:
    """Return where a number (with or without hyphen) or a family name of these people was told: {place: [lines]}."""
    people = list(people)
    if not people:
        return {}  # nobody to be told about: no journey of this run took a person
    names = {person.family for person in people}
    numbers = {person.cpr for person in people}
    words = re.compile("|".join([*names, *numbers, *(f"{number[:6]}-{number[6:]}" for number in numbers)]))
    places = {"printed": gateway.printed(), "metrics": gateway.metrics()}
    places |= {f"traces {n}": body.decode("latin-1") for n, body in enumerate(traces)}
    for path in sorted((gateway.data / "postgres" / "log").glob("*")):
        places[f"PostgreSQL {path.name}"] = path.read_text(errors="replace")
    found = {name: [line for line in text.splitlines() if words.search(line)] for name, text in places.items()}
    return {name: lines[:5] for name, lines in found.items() if lines}
