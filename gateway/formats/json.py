"""The one door for JSON: bytes → plain values with exact decimals, and back. Strict where the wire must be strict.

`loads` refuses what parsers disagree about (RFC 8259 §4, §6, §8.2): duplicate names, NaN and infinities, lone
surrogates, numbers of more than 50 digits or beyond what a double holds, nesting over a limit. Every refusal is
`errors.Incorrect`; its text says what, its `at` says where (`entry[3].resource.valueQuantity.value`, or line and
column), and neither repeats a value.

FHIR R4 (datatypes, decimal): the precision of a decimal has meaning, so `1.20` stays `1.20` both ways. A number with
a fraction or an exponent is `decimal.Decimal`, any other is int; no float is ever made. Not here: what the values mean.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import accumulate
from typing import Any

import orjson

from gateway.errors import Incorrect

DEPTH_MAX = 64
DIGITS_MAX = 50
EXPONENT_MAX = 300
"""With all digits counted, 1E+300 and 1E-300 stay inside what a double holds (RFC 8259 §6)."""

_TOO_LONG = f"a number has more than {DIGITS_MAX} digits"
_LOCATE_BYTES_MAX = 1 << 20
_STRUCTURAL = b'{}[]"'
_NOT_STRUCTURAL = bytes(byte for byte in range(256) if byte not in _STRUCTURAL)
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_MAYBE_FRACTION = re.compile(rb"[0-9][.eE]")
_MAYBE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_SHOWN_NAME = re.compile(r"[A-Za-z_$@][A-Za-z_$@.-]{0,63}")


class _FaultError(ValueError):
    """Raised by the hooks below while the standard library scans; the place is found afterwards."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _FaultError("a name occurs twice in one object")
    return made


def _integer(text: str) -> int:
    if len(text) > DIGITS_MAX and len(text.lstrip("-")) > DIGITS_MAX:
        raise _FaultError(_TOO_LONG)
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) > DIGITS_MAX or "e" in text or "E" in text:
        significand, _, exponent = text.lower().partition("e")
        before, _, after = significand.lstrip("-").partition(".")
        if len(before) + len(after) > DIGITS_MAX:
            raise _FaultError(_TOO_LONG)
        if len(exponent) > DIGITS_MAX or abs(int(exponent or "0")) + DIGITS_MAX > EXPONENT_MAX:
            raise _FaultError("a number is greater or smaller than other readers can hold")
    return Decimal(text)


def _constant(_: str) -> Any:
    raise _FaultError("NaN and infinities are not JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_constant
)


def loads(data: bytes | str, *, depth_max: int = DEPTH_MAX) -> Any:
    """Read one JSON text in UTF-8 (a leading byte order mark is passed over). The outermost value has depth 1.

    Raises errors.Incorrect for anything that is not JSON, and for all that this module's first lines name.
    """
    raw = _utf8(data)
    if raw.count(b"{") + raw.count(b"[") > depth_max and _depth(raw) > depth_max:
        raise _incorrect(raw, f"nested deeper than {depth_max} levels", depth_max)
    if b'": ' not in raw and _MAYBE_FRACTION.search(raw) is None:
        # Compact JSON without fractions, such as `dumps` writes: when a fast reader's result, written again, is the
        # same bytes, then nothing was lost in reading: no name occurred twice and every number was an exact integer.
        try:
            value = orjson.loads(raw)
            if orjson.dumps(value) == raw:
                return value
        except (orjson.JSONDecodeError, TypeError):
            pass  # the slow reader says what is wrong
    try:
        value = _decoder.decode(raw.decode())
        if _MAYBE_SURROGATE.search(raw) is not None:
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise _incorrect(raw, "a lone surrogate is not a character", depth_max) from None
    except _FaultError as fault:
        raise _incorrect(raw, str(fault), depth_max) from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno} column {error.colno}"
        raise Incorrect(f"not JSON: {error.msg.lower().removesuffix(' at')} at {at}", at=at) from None
    except RecursionError:
        raise _incorrect(raw, f"nested deeper than {depth_max} levels", depth_max) from None
    return value


def look(data: bytes) -> Any:
    """Read what this house has written, fast, to look something up in it: fractions are floats here, so nothing of it
    is ever written again.
    """
    return orjson.loads(data)


def _utf8(data: bytes | str) -> bytes:
    if isinstance(data, str):
        try:
            return data.encode()
        except UnicodeEncodeError as error:
            at = f"character {error.start}"
            raise Incorrect(f"not JSON: a lone surrogate is not a character, at {at}", at=at) from None
    raw = data.removeprefix(b"\xef\xbb\xbf")
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            at = f"byte {error.start}"
            raise Incorrect(f"not JSON: not UTF-8 at {at}", at=at) from None
    return raw


def _depth(raw: bytes) -> int:
    """Return how deep brackets nest outside strings, without parsing; exact for well-formed JSON."""
    if b"\\" in raw:
        raw = _ESCAPE.sub(b"", raw)
    # Taking away `""` changes no bracket's parity of quotes before it, so what is inside a string stays inside.
    brackets = raw.translate(None, _NOT_STRUCTURAL).replace(b'""', b"")
    if b'"' in brackets:
        brackets = b"".join(brackets.split(b'"')[::2])
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _incorrect(raw: bytes, what: str, depth_max: int) -> Incorrect:
    at = _locate(raw.decode(), depth_max) if len(raw) <= _LOCATE_BYTES_MAX else ""
    return Incorrect(f"not usable JSON: {what}" + (f" at {at}" if at else ""), at=at)


def _locate(text: str, depth_max: int) -> str:
    """Return where the first fault of a text stands, by a slow second reading; empty when it is not found."""
    path: list[str | int] = []
    names: list[set[str] | None] = []
    expects_name = False
    for mark in map(re.Match.group, _TOKEN.finditer(text)):
        if mark in "{[":
            names.append(set() if mark == "{" else None)
            path.append("" if mark == "{" else 0)
            expects_name = mark == "{"
            if len(path) > depth_max:
                return _pointer(path[:-1])
        elif mark in "}]":
            del path[-1:], names[-1:]
            expects_name = False
        elif mark == ",":
            expects_name = bool(names) and names[-1] is not None
            if path and isinstance(path[-1], int):
                path[-1] += 1
        elif mark[0] == '"':
            string = json.loads(mark, strict=False)
            known = names[-1] if names else None
            duplicate = False
            if expects_name and known is not None:
                expects_name = False
                duplicate = string in known
                known.add(string)
                path[-1] = string
            if duplicate or any("\ud800" <= char <= "\udfff" for char in string):
                return _pointer(path)
        elif mark != ":" and not _acceptable(mark):
            return _pointer(path)
    return ""


def _acceptable(mark: str) -> bool:
    """Say whether a number or literal passes the hooks."""
    try:
        _decoder.decode(mark)
    except _FaultError:
        return False
    except json.JSONDecodeError:
        return True  # not the fault that is looked for
    return True


def _pointer(path: list[str | int]) -> str:
    """Write a path as `entry[3].resource.id`; a name that may carry a person's number is shown as `?`."""
    parts = [
        f"[{step}]" if isinstance(step, int) else f".{step if _SHOWN_NAME.fullmatch(step) else '?'}" for step in path
    ]
    return "".join(parts).lstrip(".")


def dumps(value: Any) -> bytes:
    """Write compact UTF-8 JSON: names in the order of the dict, a Decimal with the very digits it has.

    Raises TypeError for what JSON cannot hold: lone surrogates, Decimal("NaN"), names that are not strings, other
    types. A float never comes from `loads`; should a caller make one, it is written with its shortest text.
    """
    try:
        return orjson.dumps(value, default=_fragment)
    except TypeError:
        pass  # an integer of more than 64 bits, or something that is not JSON
    try:
        return orjson.dumps(_with_great_integers(value), default=_fragment)
    except RecursionError:
        msg = "nested too deep, or contains itself"
        raise TypeError(msg) from None


def _fragment(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        text = str(value)
        if "E-" in text and len(text) + int(text.partition("E-")[2]) <= DIGITS_MAX:
            text = f"{value:f}"  # 1E-7 is what Decimal calls 0.0000001; 1E+2 keeps its exponent: it is not 100
        return orjson.Fragment(text)
    msg = f"{type(value).__name__} is not a JSON value"
    raise TypeError(msg)


def _with_great_integers(value: Any) -> Any:
    """Copy a tree with the integers that do not fit 64 bits as ready JSON text."""
    if isinstance(value, dict):
        return {name: _with_great_integers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_great_integers(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:  # noqa: PLR2004
        return orjson.Fragment(str(value))
    return value
