"""Characters of ER7: which codec a message is in, and its escape sequences. Source: HL7 v2.9 §2.7, table 0211.

What it is not: it never repairs text. What cannot be decoded or is not a known escape stays as it was sent.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from gateway.formats.er7_head import Peek, Unreadable
from gateway.model import Notice, RejectionCode


@dataclass(frozen=True, slots=True)
class Syntax:
    r"""The separators of one message (MSH-1, MSH-2) and the codec that `\X..\` escapes are bytes of."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""
    codec: str = "ascii"


_CODECS: Final = {
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "ISO IR6": "ascii",
    "ISO IR14": "iso2022_jp",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5",
    "KS X 1001": "euc_kr",
} | {f"8859/{part}": f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)}

_REFUSED: Final = ("UTF-16", "UTF-32", "UTF16", "UTF32")
_CONTROLS: Final = bytes(code for code in range(0x20) if code not in b"\t\n\r") + b"\x7f"
_BLANKS: Final = dict.fromkeys(_CONTROLS, " ")


def decode(body: bytes, head: Peek, default_charset: str) -> tuple[str, str, list[Notice]]:
    """Return the body as text, the codec that fitted, and notices.

    The codec is the first recognised repetition of MSH-18, else the feed's; when the bytes do not fit it, UTF-8 and
    then Windows-1252 are tried, with the notice `charset-fallback`. Raises when MSH-18 names a set unsafe in MLLP.
    """
    notices: list[Notice] = []
    codec, declared = _declared(head, default_charset, notices)
    if body.startswith(b"\xef\xbb\xbf"):
        body, codec = body[3:], "utf-8"
    if not codec.startswith("iso2022") and len(body.translate(None, _CONTROLS)) != len(body):
        # Neither ER7 nor FHIR text can hold them; the raw record keeps them.
        body = body.translate(bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS)))
        notices.append(Notice("control-characters", "", "Control characters inside the message were read as blanks."))
    if body.isascii() and not codec.startswith("iso2022"):
        return body.decode("ascii"), codec if codec != "ascii" else _codec(default_charset), notices
    if codec == "ascii" or (codec == "iso8859_1" and _has_c1(body)):
        candidates: tuple[str, ...] = (
            (_codec(default_charset), "utf-8", "cp1252") if codec == "ascii" else ("cp1252", "utf-8")
        )
        declared = declared and codec == "ascii"
    else:
        candidates = (codec, "utf-8", "cp1252")
    for candidate in candidates:
        try:
            text = body.decode(candidate)
        except (UnicodeDecodeError, LookupError):
            continue
        if candidate != candidates[0] or (codec == "ascii" and declared):
            notices.append(
                Notice(
                    "charset-fallback", "MSH-18", f"The bytes do not fit the character set stated; read as {candidate}."
                )
            )
        return text, candidate, notices
    notices.append(
        Notice("charset-fallback", "MSH-18", "The bytes fit no character set of the feed; read as ISO 8859-1.")
    )
    return body.decode("latin-1"), "latin-1", notices


def _declared(head: Peek, default_charset: str, notices: list[Notice]) -> tuple[str, bool]:
    names = head.charset.decode("latin-1").upper()
    if not names.strip():
        return _codec(default_charset), False
    repetition = head.encoding_characters[1:2].decode("latin-1") or "~"
    for name in names.split(repetition):
        known = _CODECS.get(name.strip())
        if known:
            return known, True
        if any(refused in name for refused in _REFUSED):
            raise Unreadable(
                RejectionCode.CHARSET,
                "MSH-18",
                "UTF-16 and UTF-32 cannot be carried here (withdrawn in HL7 v2.8); send UNICODE UTF-8.",
            )
    notices.append(
        Notice("charset-unknown", "MSH-18", "The character set stated is not in table 0211; the feed's own was used.")
    )
    return _codec(default_charset), False


def _has_c1(body: bytes) -> bool:
    return re.search(rb"[\x80-\x9f]", body) is not None


@functools.lru_cache(maxsize=64)
def _codec(name: str) -> str:
    return _CODECS.get(name.upper(), name)


@functools.lru_cache(maxsize=64)
def _pattern(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(
        f"{mark}(?:"
        r"([FSTREPHN])|X((?:[0-9A-Fa-f]{2})+)|(\.(?:br|sp|in|ti|sk|fi|nf|ce)\s*[+-]?\d{0,4})|([CM][0-9A-Fa-f]{2,6})|(Z[^\r\n]{0,58}?)"
        f"){mark}"
    )


def unescape(text: str, syntax: Syntax) -> str:
    r"""Return `text` with its escape sequences resolved, each once.

    An escape character that does not start a known sequence is literal (Windows paths, RTF). `\C..\`, `\M..\` and
    `\Z..\` stay as sent; highlighting is dropped; `\.br\` and the other line commands become line breaks, indents
    and `\.sk` blanks.
    """
    named = {
        "F": syntax.field,
        "S": syntax.component,
        "T": syntax.subcomponent,
        "R": syntax.repetition,
        "E": syntax.escape,
        "P": syntax.truncation or "#",
        "H": "",
        "N": "",
    }

    def resolve(found: re.Match[str]) -> str:
        name, octets, command = found.group(1), found.group(2), found.group(3)
        if name:
            return named[name]
        if octets:
            return _octets(octets, syntax.codec)
        if command:
            return _formatting(command)
        return found.group(0)

    return _pattern(syntax.escape).sub(resolve, text)


def _octets(digits: str, codec: str) -> str:
    octets = bytes.fromhex(digits)
    try:
        text = octets.decode(codec)
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_BLANKS)


def _formatting(command: str) -> str:
    name, number = command[1:3], command[3:].strip().lstrip("+-")
    count = min(int(number or "1"), 100)
    if name == "sp":
        return "\n" * count
    if name == "sk":
        return " " * count
    return "\n" if name in {"br", "ce"} else ""


def escape(text: str, syntax: Syntax) -> str:
    r"""Return `text` ready for a field: the escape character first, then F, S, T, R, line breaks as `\X0D\`."""
    mark = syntax.escape
    if mark == "\0":  # this sender declared no escape character: what would break the frame becomes a blank
        return re.sub(
            "[" + re.escape(syntax.field + syntax.component + syntax.repetition + syntax.subcomponent) + "\r\n]",
            " ",
            text,
        )
    text = text.replace(mark, f"{mark}E{mark}")
    for character, name in (
        (syntax.field, "F"),
        (syntax.component, "S"),
        (syntax.subcomponent, "T"),
        (syntax.repetition, "R"),
    ):
        text = text.replace(character, f"{mark}{name}{mark}") if character != "\0" else text
    return text.replace("\r", f"{mark}X0D{mark}").replace("\n", f"{mark}X0A{mark}")
