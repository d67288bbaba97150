"""The text of one value in a question → what it asks for: a date, a code, a reference, a text, a place.

R4 search, parameter types and escaping. Every refusal is `errors.Incorrect` with the parameter as `at`, and repeats no
value. Not here: which term these make (`terms`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from gateway.errors import Incorrect
from gateway.search import amounts, parameters, times, units
from gateway.search.indexed import fold
from gateway.search.parameters import Parameter
from gateway.search.query import Amount, NearTerm, Prefix

ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
NO_ID: Final = ""
"""An id that no resource has."""
NEAR_DEFAULT: Final = Decimal(50)
"""How many kilometres `near` reaches when it does not say (R4 leaves it to the server)."""
_LITERAL = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}")
_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=[0-9])")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class Terminology(Protocol):
    """What a caller may lend a search so that it knows value sets and hierarchies. Raises `errors.Incorrect` for a
    value set or code that it does not know.
    """

    def expand(self, value_set: str) -> Sequence[tuple[str, str]]:
        """Return (system, code) of everything in a value set, named by its canonical address."""
        ...

    def below(self, system: str, code: str) -> Sequence[tuple[str, str]]:
        """Return (system, code) of the code itself and of what it subsumes."""
        ...

    def above(self, system: str, code: str) -> Sequence[tuple[str, str]]:
        """Return (system, code) of the code itself and of what subsumes it."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a question is read with: the moment that `ap` measures from, the address of this API with a slash at its
    end ('' none), the codes that are known.
    """

    now: dt.datetime | None = None
    base: str = ""
    codes: Terminology | None = None


def split(text: str, separator: str) -> list[str]:
    """Cut at separators that no backslash stands before; escapes stay."""
    if "\\" not in text:
        return text.split(separator)
    parts, start, escaped = [], 0, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == separator:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def plain(text: str) -> str:
    r"""Take the escapes `\,` `\|` `\$` `\\` out (R4 search, escaping)."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def shown(name: str) -> str:
    """Return a parameter name as a caller may see it back: its first plain characters; what may be a number of somebody
    is not repeated (who forgets `identifier=` has a value where a name should stand).
    """
    return re.sub(r"[^A-Za-z0-9_.:\-]|[0-9](?:[0-9\-]{3,})", "?", name[:64])


def date(parameter: str, text: str, context: Context) -> tuple[Prefix, dt.datetime, dt.datetime]:
    """Return the comparison that `[prefix]date` asks for."""
    text = plain(text)
    found = _PREFIX.match(text)
    prefix = Prefix(found[0]) if found else Prefix.EQ
    # a plus sign that nobody encoded arrives as a blank
    moment = (text[2:] if found else text).replace(" ", "+")
    try:
        low, high = times.interval(moment)
    except ValueError:
        raise Incorrect(f"{parameter} is not a date, or its prefix is none of R4's", at=parameter) from None
    if prefix is Prefix.AP:
        if context.now is None:
            raise Incorrect(f"the prefix ap of {parameter} is not supported here", at=parameter)
        low, high = times.approximately(low, high, context.now)
    return prefix, low, high


def quantity(parameter: str, text: str) -> Amount:
    """Return the amount of `[prefix]number`, `number|system|code` or `number||code`."""
    number, *unit = (plain(part) for part in split(text, "|"))
    asked = amounts.amount(number, parameter)
    if not unit:
        return asked
    if len(unit) != 2 or not unit[1]:  # noqa: PLR2004
        raise Incorrect(f"{parameter} takes number, number|system|code or number||code", at=parameter)
    return Amount(asked.prefix, asked.value, asked.low, asked.high, *unit)


def coded(parameter: str, text: str) -> tuple[str | None, str]:
    """Return (system, code): None for the system of `code`, '' for that of `|code`, '' for the code of `system|`."""
    if "|" not in text and text:
        return None, plain(text)
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) > 2 or not any(parts):  # noqa: PLR2004
        raise Incorrect(f"{parameter} takes code, system|code, |code or system|", at=parameter)
    return (parts[0], parts[1]) if len(parts) > 1 else (None, parts[0])


def of_type(parameter: str, text: str) -> tuple[str, str, str]:
    """Return (system, code, value) of `system|code|value` (R4 search, `:of-type`)."""
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004
        raise Incorrect(f"{parameter}:of-type takes system|code|value", at=parameter)
    return parts[0], parts[1], parts[2]


def text(parameter: str, value: str) -> str:
    """Return a text to look for, folded."""
    folded = fold(plain(value))
    if not folded:
        raise Incorrect(f"{parameter} has no letter or digit to look for", at=parameter)
    return folded


def targets(parameter: Parameter, modifier: str, text: str, context: Context) -> list[str]:
    """Return the literal references that a value can mean: several when it is an id alone."""
    name = parameter.name
    if context.base and text.startswith(context.base):
        if not modifier and _names_canonicals(parameter):
            return [text]  # whole, as it stands in a resource: what lies below this API is an address like any other
        text = text.removeprefix(context.base)
    if "/_history/" in text:
        raise Incorrect(f"{name}: references to a version are not supported", at=name)
    if modifier:
        if modifier not in parameter.targets:
            raise Incorrect(f"{name} names no {modifier}", at=name)
        if not ID.fullmatch(text.removeprefix(modifier + "/")):
            raise Incorrect(f"{name}:{modifier} takes an id", at=name)
        return [f"{modifier}/{text.removeprefix(modifier + '/')}"]
    if not parameter.targets or _SCHEME.match(text):
        return [text]
    if ID.fullmatch(text):
        return [f"{target}/{text}" for target in aimed(parameter)]
    literal = _LITERAL.fullmatch(text)
    if literal is None or literal[1] not in parameters.types():
        raise Incorrect(f"{name} takes an id, Type/id or an absolute address", at=name)
    return [text]


def _names_canonicals(parameter: Parameter) -> bool:
    """Say whether the parameter looks at addresses (canonical, uri) alone, and at no Reference."""
    return parameter.types.isdisjoint({"Reference", "Resource"})


def aimed(parameter: Parameter) -> list[str]:
    """Return the resource types that a reference parameter can find."""
    only = {place.target for place in parameter.paths}
    return [target for target in parameter.targets if "" in only or target in only]


def near(parameter: str, text: str) -> NearTerm:
    """Return the circle of `latitude|longitude[|distance[|unit]]`; kilometres unless a UCUM unit is given."""
    parts = [plain(part) for part in split(text, "|")]
    if not 2 <= len(parts) <= 4:  # noqa: PLR2004
        raise Incorrect(f"{parameter} takes latitude|longitude|distance|unit", at=parameter)
    numbers = [amounts.amount(part, parameter) for part in (parts[0], parts[1], *filter(None, parts[2:3]))]
    latitude, longitude, *reach = (number.value for number in numbers)
    if any(number.prefix is not Prefix.EQ for number in numbers) or abs(latitude) > 90 or abs(longitude) > 180:  # noqa: PLR2004
        raise Incorrect(f"{parameter} is no place on earth", at=parameter)
    distance = reach[0] if reach else NEAR_DEFAULT
    unit = parts[3] if len(parts) > 3 and parts[3] else "km"  # noqa: PLR2004
    kilometres = units.convert(distance, unit, "km")
    if kilometres is None or kilometres < 0:
        raise Incorrect(f"{parameter}: the distance is no length", at=parameter)
    return NearTerm(parameter, latitude, longitude, kilometres)
