"""The input of an operation: a GET's pairs or a POST's Parameters → values by name, checked against the row's fields.

Strict as search is: a parameter that the operation does not have is refused by name (`Prefer: handling=lenient` ignores
it), and so is one too many, or a value of another type. Parameters are validated as any resource is. A POST may also
send the one resource that the operation takes, bare (R4 operations.html#request). Texts never repeat a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from gateway import errors
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Resource
from gateway.search import parameters, times
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Operation

PARAMETERS_MAX: Final = 200
_STRINGS: Final = frozenset({"string", "code", "uri", "url", "canonical", "id", "oid", "uuid", "markdown"})
_TIMES: Final = frozenset({"date", "dateTime", "instant"})
_FORMS: Final = {
    "code": re.compile(r"[^\s]+( [^\s]+)*"),
    "uri": re.compile(r"\S+"),
    "canonical": re.compile(r"\S+"),
    "boolean": re.compile(r"true|false"),
    "integer": re.compile(r"0|[1-9][0-9]{0,8}"),
    "positiveInt": re.compile(r"[1-9][0-9]{0,8}"),
}
_SHOWN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


@dataclass(slots=True)
class Inputs:
    """Values by parameter name: text for all string-like and time types, bool, int, or a dict as it was sent."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    told: list[tuple[str, str, Any]] = field(default_factory=list)
    """What came in as simple values: (name, name of value[x], value)."""

    def text(self, name: str) -> str:
        """Return a value, '' when it was not sent."""
        return str(self.values[name][0]) if name in self.values else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of a repeating parameter."""
        return tuple(self.values.get(name, ()))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean."""
        return bool(self.values[name][0]) if name in self.values else default

    def number(self, name: str) -> int | None:
        """Return an integer, None when it was not sent."""
        return int(self.values[name][0]) if name in self.values else None

    def part(self, name: str) -> Resource | None:
        """Return a data type or resource, None when it was not sent."""
        return self.values[name][0] if name in self.values else None


def read(operation: Operation, asking: Asking) -> Inputs:
    """Return the input of a request. Raises Incorrect, UnsupportedMedia, TooLarge; `at` names the parameter."""
    inputs = Inputs()
    fields = {one.name: one for one in operation.fields}
    for name, value in asking.pairs:
        _pair(inputs, fields, name, value, lenient=asking.lenient())
    if asking.body:
        sent = asking.resource()
        _check(sent)
        if sent["resourceType"] == "Parameters":
            if len(sent.get("parameter", ())) > PARAMETERS_MAX:
                raise errors.TooLarge(f"an operation takes at most {PARAMETERS_MAX} parameters")
            for one in sent.get("parameter", ()):
                _parameter(inputs, fields, one, lenient=asking.lenient())
        else:
            _bare(inputs, operation, sent)
    for one in operation.fields:
        if one.minimum and one.name not in inputs.values:
            raise errors.Incorrect(f"${operation.code} needs {one.name}", at=one.name)
    return inputs


def answer(*parts: Resource) -> bytes:
    """Return a Parameters resource of these parameters."""
    return json.dumps({"resourceType": "Parameters", "parameter": list(parts)})


def _check(sent: Resource) -> None:
    if issues := validate(sent):
        raise errors.Incorrect(f"what was sent is not valid R4: {issues[0].text}", at=issues[0].path)


def _pair(inputs: Inputs, fields: dict[str, Field], name: str, value: str, *, lenient: bool) -> None:
    known = _known(fields, name, lenient=lenient)
    if known is None or value == "":
        return
    if known.type not in _STRINGS | _TIMES and known.type not in _FORMS:
        raise errors.Incorrect(f"{name} is no simple value: send a Parameters resource by POST", at=name)
    if known.type in _TIMES:
        _moment(name, value.replace(" ", "+"))  # a plus sign that nobody encoded
    elif (form := _FORMS.get(known.type)) and not form.fullmatch(value):
        raise errors.Incorrect(f"{name} is not a {known.type}", at=name)
    made: Any = value
    if known.type == "boolean":
        made = value == "true"
    elif known.type in {"integer", "positiveInt"}:
        made = int(value)
    elif known.type in _TIMES:
        made = value.replace(" ", "+")
    _take(inputs, known, made, simple=True)


def _parameter(inputs: Inputs, fields: dict[str, Field], sent: Resource, *, lenient: bool) -> None:
    name = sent.get("name", "")
    known = _known(fields, name, lenient=lenient)
    if known is None:
        return
    if known.type in parameters.types():
        resource = sent.get("resource")
        if resource is None or resource["resourceType"] != known.type:
            raise errors.Incorrect(f"{name} is a {known.type}", at=name)
        _take(inputs, known, resource, simple=False)
        return
    kind, value = next(((kind, value) for kind, value in sent.items() if kind.startswith("value")), ("", None))
    sent_type = kind.removeprefix("value")[:1].lower() + kind.removeprefix("value")[1:]
    if value is None or not _fits(known.type, sent_type, value):
        raise errors.Incorrect(f"{name} is a {known.type}", at=name)
    _take(inputs, known, value, simple=not isinstance(value, dict))


def _fits(wanted: str, sent: str, value: Any) -> bool:
    """Say whether a value[x] will do: texts of one kind for another where the value is of that form."""
    if wanted[:1].lower() + wanted[1:] == sent:  # valueCodeableConcept, valueDateTime
        return wanted != "integer" or value >= 0
    if wanted in _STRINGS and sent in _STRINGS:
        form = _FORMS.get(wanted)
        return form is None or form.fullmatch(value) is not None
    if wanted in {"integer", "positiveInt"} and sent in {"integer", "positiveInt", "unsignedInt"}:
        return bool(value >= (wanted == "positiveInt"))
    return wanted in _TIMES and sent in _TIMES


def _bare(inputs: Inputs, operation: Operation, sent: Resource) -> None:
    own = [one for one in operation.fields if one.type == sent["resourceType"]]
    if len(own) != 1:
        raise errors.Incorrect(f"${operation.code} takes a Parameters resource")
    _take(inputs, own[0], sent, simple=False)


def _known(fields: dict[str, Field], name: str, *, lenient: bool) -> Field | None:
    known = fields.get(name)
    if known is None and not lenient:
        shown = name if _SHOWN.fullmatch(name) else "that"
        raise errors.Incorrect(f"this operation has no parameter {shown} here", at=shown)
    return known


def _take(inputs: Inputs, known: Field, value: Any, *, simple: bool) -> None:
    values = inputs.values.setdefault(known.name, [])
    if known.maximum == "1" and values:
        raise errors.Incorrect(f"{known.name} is given once", at=known.name)
    values.append(value)
    if simple:
        # R4 lets an expansion parameter be a string, boolean, integer, decimal, uri, code or dateTime
        told = {"canonical": "uri", "positiveInt": "integer", "date": "dateTime", "instant": "dateTime"}
        kind = told.get(known.type, known.type)
        inputs.told.append((known.name, f"value{kind[0].upper()}{kind[1:]}", value))


def _moment(name: str, text: str) -> None:
    try:
        times.interval(text)
    except ValueError:
        raise errors.Incorrect(f"{name} is not a date", at=name) from None
