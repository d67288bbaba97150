"""OBX-2, OBX-5, OBX-6 → Observation.value[x]. Source: HL7 v2-to-FHIR OBX[Observation] rows of OBX-5, SN, NM, NA, ED maps.

Numbers are decimals made from the sender's own digits: `1.20` stays `1.20`. A value that its own type does not allow
is kept as a string and told, never guessed at and never dropped.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from adapters.hospital_hl7v2 import coded, datatypes, times
from adapters.hospital_hl7v2.setup import Setup, keep, squeeze
from gateway.formats import er7
from gateway.model import Notice, Resource

UCUM: Final = "http://unitsofmeasure.org"
TEXT_TYPES: Final = frozenset({"ST", "TX", "FT", "SI", "ID", "PH", "XPN", "XAD", "XTN", "PN", "TN", "AD", "CK", "CM"})
ATTACHMENT_TYPES: Final = frozenset({"ED", "RP"})
_CODED_TYPES: Final = frozenset({"CE", "CWE", "CNE", "CF", "IS"})
_NUMBER = re.compile(r"([<>]=?)?\s*([+-]?)(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_COMMA_NUMBER = re.compile(r"[<>]?=?\s*[+-]?\d+,\d+", re.ASCII)
_COMPARATORS: Final = frozenset({"<", "<=", ">", ">="})
_MIME = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+", re.ASCII)


@dataclass(slots=True)
class Value:
    """What an OBX-5 becomes: elements of the Observation, notices, and attachments that belong to the report."""

    elements: Resource = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    attachment: Resource | None = None


def number(text: str, setup: Setup) -> tuple[str, Decimal] | None:
    """Return (comparator, decimal) of an NM; None when it is not a number. A Danish comma counts only if the feed says so."""
    text = text.strip()
    if setup.decimal_comma and _COMMA_NUMBER.fullmatch(text):
        text = text.replace(",", ".")
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    comparator, sign, digits = found.groups()
    digits = digits.removesuffix(".")
    return comparator or "", Decimal(("-" if sign == "-" else "") + digits)


def unit(raw: er7.Part, setup: Setup) -> tuple[str, str]:
    """Return (words, UCUM code) of OBX-6; the code is '' when the unit has none that we know."""
    known = setup.memory.unit_codes.get(raw.raw)
    if known is None:
        known = keep(setup.memory.unit_codes, raw.raw, _unit(raw, setup))
    return known


def _unit(raw: er7.Part, setup: Setup) -> tuple[str, str]:
    code, words, system = raw.at(1), raw.at(2), raw.at(3).upper()
    for candidate in (code, raw.at(4), words, raw.at(5)):
        mapped = setup.units.get(candidate) or setup.units.get(squeeze(candidate)) if candidate else None
        if mapped:
            return (mapped if words.startswith("MDC_") else words or code or candidate), mapped
    if system == "UCUM" and code and not re.search(r"\s", code):
        return words or code, code
    if raw.at(6).upper() == "UCUM" and raw.at(4) and not re.search(r"\s", raw.at(4)):
        return raw.at(5) or raw.at(4), raw.at(4)
    return words or code, ""


def quantity(amount: Decimal, units: er7.Part | None, setup: Setup, comparator: str = "") -> Resource:
    """Return a Quantity; without a unit the number stands alone."""
    made: Resource = {"value": amount}
    if comparator:
        made["comparator"] = comparator
    if units:
        words, code = unit(units, setup)
        if words or code:
            made["unit"] = words or code
        if code:
            made["system"] = UCUM
            made["code"] = code
    return made


def read(segment: er7.Segment, setup: Setup) -> Value:
    """Return the value of an OBX. An empty OBX-5 gives no element at all: the caller knows why it may be empty.

    The same number with the same unit is the same `Value`: do not change it.
    """
    if not segment.has(5):
        return Value()
    kind = segment.at(2).upper()
    if kind != "NM":
        return _read(segment, setup, kind)
    key = (segment.raw(5), segment.raw(6))
    known: Value | None = setup.memory.numbers.get(key)
    if known is not None:
        return known
    value = _read(segment, setup, kind)
    return value if value.notices else keep(setup.memory.numbers, key, value)


def _read(segment: er7.Segment, setup: Setup, kind: str) -> Value:
    value = Value()
    repetitions = [part for part in segment.repetitions(5) if part]
    units = segment.field(6)
    if not repetitions:
        return value
    if kind in ATTACHMENT_TYPES:
        value.attachment = attachment(repetitions[0], kind)
        if value.attachment is None:
            value.elements = {"valueString": _joined(repetitions)}
        return value
    convert = _CONVERTERS.get(kind)
    if convert is not None and (len(repetitions) == 1 or kind == "NA"):
        made = convert(repetitions if kind == "NA" else repetitions[:1], units, setup, value)
        if made is not None:
            value.elements = made
            return value
    elif convert is not None and kind in _CODED_TYPES | {"NM", "SN"}:
        components = [convert([part], units, setup, value) for part in repetitions]
        if all(components):
            value.elements = {"components": components}
            return value
    elif kind not in TEXT_TYPES and kind:
        value.notices.append(Notice("value-type", f"OBX[{segment.index}]-2", f"The value type {kind} is kept as text."))
    text = _joined(repetitions)
    if text:
        value.elements = {"valueString": text}
    return value


def _joined(parts: list[er7.Part]) -> str:
    return "\n".join(text for text in (part.text().strip() for part in parts) if text)


def _numeric(parts: list[er7.Part], units: er7.Part, setup: Setup, value: Value) -> Resource | None:
    found = number(parts[0].at(1), setup)
    if found is None:
        value.notices.append(Notice("not-a-number", "OBX-5", "An NM that is not a number is kept as text."))
        return None
    return {"valueQuantity": quantity(found[1], units, setup, found[0])}


def _structured(parts: list[er7.Part], units: er7.Part, setup: Setup, value: Value) -> Resource | None:
    part = parts[0]
    comparator, separator = part.at(1), part.at(3)
    first, second = number(part.at(2), setup), number(part.at(4), setup)
    comparator = "" if comparator == "=" else comparator
    if separator in {"-", ":", "/"} and first and second:
        left, right = quantity(first[1], units, setup), quantity(second[1], units, setup)
        if separator == "-":
            return {"valueRange": {"low": left, "high": right}}
        left, right = (
            quantity(first[1], None, setup, comparator if comparator in _COMPARATORS else ""),
            quantity(second[1], None, setup),
        )
        return {"valueRatio": {"numerator": left, "denominator": right}}
    if first and not separator and not part.at(4) and (not comparator or comparator in _COMPARATORS):
        return {"valueQuantity": quantity(first[1], units, setup, comparator)}
    words = " ".join(word for word in (part.at(1), part.at(2), part.at(3), part.at(4), units.at(1)) if word)
    if not first:
        value.notices.append(Notice("not-a-number", "OBX-5", "An SN without a number is kept as text."))
    return {"valueString": words} if words else None


def _concept(parts: list[er7.Part], _units: er7.Part, setup: Setup, _value: Value) -> Resource | None:
    made = coded.concept(parts[0], setup)
    return {"valueCodeableConcept": made} if made else None


def _date_time(parts: list[er7.Part], _units: er7.Part, setup: Setup, value: Value) -> Resource | None:
    moment = setup.moment(parts[0].raw)
    if moment is None:
        value.notices.append(Notice("time-invalid", "OBX-5", "A time that cannot be one is kept as text."))
        return None
    return {"valueDateTime": moment.date_time}


def _time(parts: list[er7.Part], _units: er7.Part, _setup: Setup, value: Value) -> Resource | None:
    made = times.read_time(parts[0].at(1))
    if made is None:
        value.notices.append(Notice("time-invalid", "OBX-5", "A time that cannot be one is kept as text."))
        return None
    return {"valueTime": made}


def _period(parts: list[er7.Part], _units: er7.Part, setup: Setup, _value: Value) -> Resource | None:
    made = datatypes.period(parts[0].at(1), parts[0].at(2), setup)
    return {"valuePeriod": made} if made else None


def _range(parts: list[er7.Part], units: er7.Part, setup: Setup, _value: Value) -> Resource | None:
    low, high = number(parts[0].at(1), setup), number(parts[0].at(2), setup)
    made = datatypes.compact(
        [("low", low and quantity(low[1], units, setup)), ("high", high and quantity(high[1], units, setup))]
    )
    return {"valueRange": made} if made else None


def _samples(parts: list[er7.Part], units: er7.Part, setup: Setup, value: Value) -> Resource | None:
    rows = [[part.at(place) for place in range(1, len(part.pieces()) + 1)] for part in parts]
    dimensions = len(rows[0])
    samples: list[str] = []
    for sample in (sample for row in rows for sample in row):
        found = number(sample, setup) if sample else None
        if sample and found is None:
            value.notices.append(
                Notice("not-a-number", "OBX-5", "An NA with something that is not a number is kept as text.")
            )
            return None
        samples.append(format(found[1], "f") if found else "E")
    if any(len(row) != dimensions for row in rows):
        return None
    origin = quantity(Decimal(0), units, setup)
    return {
        "valueSampledData": {
            "origin": origin,
            "period": Decimal(1),
            "dimensions": dimensions,
            "data": " ".join(samples),
        }
    }


def _value_range(parts: list[er7.Part], _units: er7.Part, _setup: Setup, _value: Value) -> Resource | None:
    """VR of HL7 v2.1: two words with a dash between, as the official row writes it."""
    words = [word for word in (parts[0].at(1), parts[0].at(2)) if word]
    return {"valueString": "-".join(words)} if words else None


_Converter = Callable[[list[er7.Part], er7.Part, Setup, Value], Resource | None]
_CONVERTERS: Final[dict[str, _Converter]] = {
    "NM": _numeric,
    "SN": _structured,
    "DT": _date_time,
    "DTM": _date_time,
    "TS": _date_time,
    "TM": _time,
    "DR": _period,
    "NR": _range,
    "NA": _samples,
    "VR": _value_range,
    **dict.fromkeys(_CODED_TYPES, _concept),
}


def attachment(part: er7.Part, kind: str) -> Resource | None:
    """ED or RP → Attachment; None when it holds neither data nor an address."""
    content_type = _content_type(part)
    if kind == "RP":
        pointer = part.at(1)
        return datatypes.compact([("contentType", content_type), ("url", pointer)]) if pointer else None
    data, encoding = part.at(5), part.at(4).upper()
    if not data:
        return None
    encoded = _encoded(data, encoding)
    if encoded is None:
        return None
    return {"contentType": content_type or "application/octet-stream", "data": encoded}


def _content_type(part: er7.Part) -> str:
    main, sub = part.at(2).lower(), part.at(3).lower()
    if "/" in main:
        stated = main
    elif main and sub:
        stated = sub if "/" in sub else f"{main}/{sub}"
    else:
        stated = {"pdf": "application/pdf", "txt": "text/plain", "text": "text/plain"}.get(sub or main, "")
    stated = {"ap/pdf": "application/pdf", "application/octet": "application/octet-stream"}.get(stated, stated)
    if stated.startswith("ap/"):
        stated = "application/" + stated[3:]
    return stated if _MIME.fullmatch(stated) else ""


def _encoded(data: str, encoding: str) -> str | None:
    squeezed = re.sub(r"\s+", "", data)
    try:
        if encoding == "BASE64":
            return base64.b64encode(base64.b64decode(squeezed, validate=True)).decode()
        if encoding == "HEX":
            return base64.b64encode(bytes.fromhex(squeezed)).decode()
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(data.encode()).decode()
