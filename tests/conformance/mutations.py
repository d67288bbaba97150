"""One change in a resource that often makes it wrong, by kinds, from a seed: the same seed gives the same changes.

Whether a change is wrong is for the checker and the judge to say; some are not.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give every value of a resource with its path, but nothing in narratives."""
    yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("text", "resourceType") or not isinstance(inner, dict) or "div" not in inner:
                yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))


def _at(resource: Any, path: Path) -> Any:
    for step in path:
        resource = resource[step]
    return resource


def _pick(chance: random.Random, resource: Any, wanted: Callable[[Path, Any], bool]) -> tuple[Any, str | int] | None:
    found = [path for path, value in places(resource) if path and wanted(path, value)]
    if not found:
        return None
    path = chance.choice(found)
    return _at(resource, path[:-1]), path[-1]


def remove(chance: random.Random, resource: Any) -> bool:
    """Take away one element."""
    picked = _pick(
        chance, resource, lambda path, _: path[-1] != "resourceType" and path[-1] not in ("div", "meta", "profile")
    )
    if picked is None:
        return False
    holder, name = picked
    del holder[name]
    return True


def wrong_code(chance: random.Random, resource: Any) -> bool:
    """Put a code there that no code system has."""
    picked = _pick(chance, resource, lambda path, value: path[-1] in CODED and isinstance(value, str))
    if picked is None:
        return False
    picked[0][picked[1]] = "no-such-code"
    return True


CODED = ("code", "status", "use", "gender", "type", "intent", "priority", "relation", "mode", "severity")


def extra(chance: random.Random, resource: Any) -> bool:
    """Repeat one value of a list."""
    picked = _pick(
        chance, resource, lambda path, value: isinstance(value, list) and bool(value) and path[-1] != "entry"
    )
    if picked is None:
        return False
    listed = picked[0][picked[1]]
    listed.append(copy.deepcopy(chance.choice(listed)))
    return True


def wrong_type(chance: random.Random, resource: Any) -> bool:
    """Put a value of another type there: another form of a choice, or another kind of JSON."""
    picked = _pick(
        chance, resource, lambda path, value: isinstance(value, str | int | Decimal) and path[-1] != "resourceType"
    )
    if picked is None:
        return False
    holder, name = picked
    value = holder[name]
    if isinstance(name, str) and name.startswith("value") and name != "value":
        del holder[name]
        holder["valueBoolean"] = True
    else:
        holder[name] = 7 if isinstance(value, str) else "seven"
    return True


def other_value(chance: random.Random, resource: Any) -> bool:
    """Change a string that patterns, fixed values, references or invariants may ask for."""
    picked = _pick(chance, resource, lambda path, value: path[-1] in SAID and isinstance(value, str))
    if picked is None:
        return False
    holder, name = picked
    value = holder[name]
    if name == "reference":
        kind = "Location" if not value.startswith("Location") else "Patient"
        holder[name] = f"{kind}/elsewhere"
    elif name == "url":
        holder[name] = "https://sundbro.example/unknown"
    else:
        holder[name] = f"{value[:-1]}x" if chance.random() < 0.5 else f"{value}0"
    return True


SAID = ("system", "value", "reference", "url", "family", "unit", "version", "definition")


def other_time(chance: random.Random, resource: Any) -> bool:
    """Turn the beginning and the end of a period round."""
    picked = _pick(chance, resource, lambda _, value: isinstance(value, dict) and isinstance(value.get("start"), str))
    if picked is None:
        return False
    period = picked[0][picked[1]]
    period["end"], period["start"] = period["start"], "2099" + period["start"][4:]
    return True


KINDS = {
    "removed": remove,
    "wrong code": wrong_code,
    "extra value": extra,
    "wrong type": wrong_type,
    "other value": other_value,
    "time turned": other_time,
}


def mutants(resources: list[tuple[str, Any]], count: int, seed: int) -> Iterator[tuple[str, str, Any]]:
    """Give (name, kind, changed resource), `count` of them."""
    chance = random.Random(seed)
    made = 0
    while made < count:
        name, resource = chance.choice(resources)
        kind = chance.choice(list(KINDS))
        changed = copy.deepcopy(resource)
        if KINDS[kind](chance, changed):
            made += 1
            yield name, kind, changed
