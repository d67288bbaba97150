"""FHIR R4's primitive types as pydantic-core schemas: exact in what JSON type they take, nothing is converted.

Source: R4 datatypes (datatypes.html#primitive), its regular expressions. Dates are dates of the calendar here, leap
years included, which the R4 expressions leave to the text. Control characters in strings are `validate`'s work.
"""

from __future__ import annotations

from decimal import Decimal

from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core import core_schema as cs

from gateway.fhir import narrative

STRING_CHARS_MAX = 1024 * 1024
_INT32 = 2**31

_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_SEXTET = r"(?:[A-Za-z0-9+/]\s*)"


def _text(pattern: str = "") -> CoreSchema:
    if pattern:
        return cs.str_schema(pattern=f"^(?:{pattern})$", strict=True)
    return cs.str_schema(min_length=1, max_length=STRING_CHARS_MAX, strict=True)


def _whole(least: int) -> CoreSchema:
    return cs.int_schema(ge=least, le=_INT32 - 1, strict=True)


def _xhtml() -> CoreSchema:
    """Return the schema of Narrative.div: a narrative costs the reading of its XHTML, a resource without one nothing."""

    def formatting_alone(div: str) -> str:
        if broken := narrative.fault(div):
            raise PydanticCustomError("txt-1", broken)
        return div

    return cs.no_info_after_validator_function(formatting_alone, _text(r"\s*<div[\s/>](?s:.)*"))


SCHEMAS: dict[str, CoreSchema] = {
    "boolean": cs.bool_schema(strict=True),
    "integer": _whole(-_INT32),
    "unsignedInt": _whole(0),
    "positiveInt": _whole(1),
    "decimal": cs.union_schema(
        [cs.is_instance_schema(Decimal), cs.int_schema(strict=True)],
        mode="left_to_right",
        custom_error_type="decimal_type",
    ),
    "string": _text(),
    "markdown": _text(),
    "xhtml": _xhtml(),
    "uri": _text(r"\S+"),
    "url": _text(r"\S+"),
    "canonical": _text(r"\S+"),
    "oid": _text(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"),
    "uuid": _text(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "code": _text(r"\S+(?:\s\S+)*"),
    "id": _text(r"[A-Za-z0-9\-.]{1,64}"),
    "base64Binary": _text(rf"\s*(?:{_SEXTET}{{4}}|{_SEXTET}{{2}}=\s*=\s*$|{_SEXTET}{{3}}=\s*$)+"),
    "date": _text(rf"{_YEAR}(?:-{_MONTH})?|{_DAY}"),
    "dateTime": _text(rf"{_YEAR}(?:-{_MONTH})?|{_DAY}(?:T{_TIME}{_ZONE})?"),
    "instant": _text(rf"{_DAY}T{_TIME}{_ZONE}"),
    "time": _text(_TIME),
}

SHOULD_BE: dict[str, str] = {
    "boolean": "true or false",
    "integer": "a whole number of 32 bits",
    "unsignedInt": "a whole number from 0 to 2147483647",
    "positiveInt": "a whole number from 1 to 2147483647",
    "decimal": "a number",
    "string": f"a string of 1 to {STRING_CHARS_MAX} characters",
    "markdown": f"a string of 1 to {STRING_CHARS_MAX} characters",
    "xhtml": "an XHTML div",
    "uri": "a URI without white space",
    "url": "a URL without white space",
    "canonical": "a canonical URL without white space",
    "oid": "an OID as urn:oid:",
    "uuid": "a UUID as urn:uuid:, in lower case",
    "code": "a code without white space around it, single spaces inside",
    "id": "1 to 64 letters, digits, '-' and '.'",
    "base64Binary": "base64 (RFC 4648)",
    "date": "a date of the calendar: YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "a date of the calendar, YYYY to YYYY-MM-DD, or YYYY-MM-DDThh:mm:ss with a time zone",
    "instant": "YYYY-MM-DDThh:mm:ss with a time zone",
    "time": "a time of day, hh:mm:ss",
}
"""What a value of the type should be, in the words of an issue."""
