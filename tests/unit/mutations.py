"""Seeded damage to valid resources: what senders really get wrong, one thing at a time. Not a test."""

from __future__ import annotations

import copy
from decimal import Decimal
from random import Random

OTHERS = ["x", "", " ", 1, -1, 0, 2**31, Decimal("1.5"), True, False, None, [], {}, ["x"], {"x": "y"}, [None], [{}]]
TEXTS = [
    "2026-02-29", "2024-02-29", "2026-13", "2026", "2026-1-1", "0000", "2026-10-25T02:30:00", "2026-10-25T02:30:00Z",
    "2026-10-25T24:00:00Z", "2026-12-31T23:59:60Z", "2026-10-25T02:30:00+14:30", "02:30:00", "02:30", "final", "no-code",
    " leading", "two  spaces", "urn:oid:1.2.3", "urn:oid:5.2", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
    "http://a b", "YQ==", "YQ=", "not base64!", "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>", "æøå", "a\tb", "a\x00b",
    "{}", "1", "true", "male", "x" * 70,
]  # fmt: skip
EXTENSION = {"extension": [{"url": "http://example.org/x", "valueCode": "unknown"}]}
CHOICES = {
    "String": "x",
    "Boolean": True,
    "Integer": 3,
    "DateTime": "2026",
    "Quantity": {"value": 1},
    "Period": {"start": "2026"},
}


def mutate(resource, random: Random):
    """Return a copy with one thing changed, and the name of what was done."""
    made = copy.deepcopy(resource)
    holder, name = random.choice([*_places(made)])
    kind = random.choice([*_KINDS])
    return (made, kind) if _KINDS[kind](holder, name, random) is not False else mutate(resource, random)


def _places(value):
    """Yield (object or list, name or position) of everything inside, resourceType of the root left alone."""
    todo = [value]
    while todo:
        holder = todo.pop()
        for name, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if name != "resourceType":
                yield holder, name
            if isinstance(item, dict | list):
                todo.append(item)


def _delete(holder, name, _random):
    del holder[name]


def _unknown(holder, _name, random):
    if isinstance(holder, list):
        return False
    holder[random.choice(["unknown", "_unknown", "Code", "fhir_comments", "assertion"])] = random.choice(OTHERS)
    return None


def _rename(holder, name, _random):
    if isinstance(holder, list):
        return False
    holder[name + "s"] = holder.pop(name)
    return None


def _other_type(holder, name, random):
    holder[name] = random.choice(OTHERS)


def _other_text(holder, name, random):
    if not isinstance(holder[name], str):
        return False
    holder[name] = random.choice(TEXTS)
    return None


def _wrap(holder, name, _random):
    holder[name] = [holder[name]]


def _unwrap(holder, name, _random):
    if not isinstance(holder[name], list) or not holder[name]:
        return False
    holder[name] = holder[name][0]
    return None


def _repeat(holder, name, _random):
    if not isinstance(holder[name], list):
        return False
    holder[name] = holder[name] * 2
    return None


def _second_choice(holder, name, random):
    if isinstance(holder, list):
        return False
    stem = next((str(name)[: -len(suffix)] for suffix in CHOICES if str(name).endswith(suffix)), "value")
    suffix = random.choice([*CHOICES])
    holder[f"{stem}{suffix}"] = CHOICES[suffix]
    return None


def _beside(holder, name, _random):
    if isinstance(holder, list) or name.startswith("_"):
        return False
    holder[f"_{name}"] = [EXTENSION] if isinstance(holder[name], list) else EXTENSION
    return None


def _instead(holder, name, _random):
    if _beside(holder, name, _random) is False:
        return False
    del holder[name]
    return None


def _null_with_extension(holder, name, _random):
    if isinstance(holder, list) or not isinstance(holder[name], list):
        return False
    holder[f"_{name}"] = [EXTENSION, *[None] * (len(holder[name]) - 1)]
    holder[name] = [None, *holder[name][1:]]
    return None


_KINDS = {
    "delete": _delete,
    "unknown": _unknown,
    "rename": _rename,
    "other type": _other_type,
    "other text": _other_text,
    "wrap": _wrap,
    "unwrap": _unwrap,
    "repeat": _repeat,
    "second choice": _second_choice,
    "extension beside": _beside,
    "extension instead": _instead,
    "null with extension": _null_with_extension,
}
