"""HL7 v2 in its vertical-bar form (ER7): bytes → a read-only tree that is split only where somebody looks.

What it is not: it knows no message structure and no data type. A segment is a name and fields, a field is
repetitions, a repetition is parts; what they mean is the adapter's business. Source: HL7 v2.9 chapter 2.

The order of reading is the standard's: decode, cut into segments, then fields, repetitions, components, subcomponents,
and only then resolve escapes, once and in one pass.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final

from gateway.formats import er7_text
from gateway.formats.er7_head import Peek, Unreadable, header_line, peek, peek_batch, peek_line, split_batch
from gateway.formats.er7_text import Syntax
from gateway.model import Notice, RejectionCode

__all__ = [
    "NULL",
    "Message",
    "Part",
    "Peek",
    "Segment",
    "Syntax",
    "Unreadable",
    "parse",
    "peek",
    "peek_batch",
    "split_batch",
    "syntax_of",
]

NULL: Final = '""'
"""The field value that asks to delete what is stored; an empty field asks for nothing."""

_SEGMENT_NAME_LENGTH: Final = 3
_MSH2_LENGTH_MAX: Final = 5


class Part:
    """A repetition, a component or a subcomponent: text that can be cut one level further.

    Numbers are HL7's, from 1. A part that is absent reads as '' and cuts into one empty part.
    """

    __slots__ = ("_below", "_parts", "raw", "syntax")

    def __init__(self, raw: str, syntax: Syntax, below: int = 0) -> None:
        self.raw = raw
        self.syntax = syntax
        self._below = below
        self._parts: list[str] | None = None

    def __bool__(self) -> bool:
        """Tell whether there is a value: neither empty nor null."""
        return self.raw not in ("", NULL)

    @property
    def is_null(self) -> bool:
        """Tell whether the sender asks to delete (`""`)."""
        return self.raw == NULL

    def pieces(self) -> list[str]:
        """Return the raw parts one level down."""
        if self._parts is None:
            separator = (self.syntax.component, self.syntax.subcomponent, "")[self._below]
            self._parts = self.raw.split(separator) if separator else [self.raw]
        return self._parts

    def at(self, number: int) -> str:
        """Return part `number` as text, whole: deeper separators stay, escapes resolved, outer blanks cut."""
        pieces = self._parts or self.pieces()
        if number > len(pieces):
            return ""
        piece = pieces[number - 1]
        if piece.isalnum():
            return piece
        if not piece or piece == NULL:
            return ""
        if self.syntax.escape in piece:
            piece = er7_text.unescape(piece, self.syntax)
        return piece.strip()

    def part(self, number: int) -> Part:
        """Return part `number`, to be cut one level further."""
        pieces = self._parts or self.pieces()
        return Part(pieces[number - 1] if number <= len(pieces) else "", self.syntax, min(self._below + 1, 2))

    def first(self, number: int) -> str:
        """Return the first subcomponent of part `number`: where a newer version made a simple value a composite."""
        part = self.part(number)
        return part.at(1)

    def text(self) -> str:
        """Return the whole as text: separators stay as they are, escapes resolved."""
        if self.raw == NULL:
            return ""
        return er7_text.unescape(self.raw, self.syntax) if self.syntax.escape in self.raw else self.raw


class Segment:
    """One segment. `index` counts the segments of the same name from 1: `OBX[3]`."""

    __slots__ = ("_fields", "index", "line", "name", "syntax")

    def __init__(self, name: str, line: str, syntax: Syntax, index: int) -> None:
        self.name = name
        self.line = line
        self.syntax = syntax
        self.index = index
        self._fields: list[str] | None = None

    @property
    def fields(self) -> list[str]:
        """Return raw fields by HL7 number; place 0 is the segment name. MSH-1 and MSH-2 stand at 1 and 2."""
        if self._fields is None:
            fields = self.line.split(self.syntax.field)
            if self.name in _HEADER_SEGMENTS:
                fields.insert(1, self.syntax.field)
            self._fields = fields
        return self._fields

    def raw(self, number: int) -> str:
        """Return field `number` as sent, '' when absent."""
        fields = self._fields or self.fields
        return fields[number] if number < len(fields) else ""

    def has(self, number: int) -> bool:
        """Tell whether field `number` holds a value: neither empty nor null."""
        fields = self._fields or self.fields
        return number < len(fields) and fields[number] not in {"", NULL}

    def is_null(self, number: int) -> bool:
        """Tell whether field `number` asks to delete (`""`)."""
        return self.raw(number) == NULL

    def field(self, number: int) -> Part:
        """Return the first repetition of field `number`."""
        return Part(self.first(number), self.syntax)

    def first(self, number: int) -> str:
        """Return the first repetition of field `number` as sent, '' when absent."""
        fields = self._fields or self.fields
        raw = fields[number] if number < len(fields) else ""
        return raw.split(self.syntax.repetition, 1)[0] if self.syntax.repetition in raw else raw

    def repetitions(self, number: int) -> list[Part]:
        """Return all repetitions of field `number`, empty ones kept in their places; [] when the field is absent."""
        raw = self.raw(number)
        if not raw:
            return []
        if self.syntax.repetition in raw:
            return [Part(piece, self.syntax) for piece in raw.split(self.syntax.repetition)]
        return [Part(raw, self.syntax)]

    def text(self, number: int) -> str:
        """Return the whole of field `number` as text, escapes resolved, outer blanks cut; '' for null."""
        raw = self.raw(number)
        if not raw or raw == NULL:
            return ""
        if self.syntax.escape in raw:
            raw = er7_text.unescape(raw, self.syntax)
        return raw.strip()

    def at(self, number: int, component: int = 1) -> str:
        """Return a component of the first repetition of field `number` as text, '' when absent."""
        fields = self._fields or self.fields
        raw = fields[number] if number < len(fields) else ""
        if not raw:
            return ""
        if component == 1 and raw.isalnum():  # nothing to cut, nothing to resolve
            return raw
        return self.field(number).at(component)


_HEADER_SEGMENTS: Final = frozenset({"MSH", "BHS", "FHS"})


class Message:
    """One message: its segments in order, its separators, and what was odd while reading it."""

    __slots__ = ("_built", "_names", "charset", "lines", "notices", "syntax")

    def __init__(self, text: str, syntax: Syntax, charset: str, notices: list[Notice]) -> None:
        self.syntax = syntax
        self.charset = charset
        self.notices = notices
        self.lines = _lines(text, syntax.field)
        self._names: list[str] | None = None
        self._built: dict[str, list[Segment]] = {}

    def of_lines(self, lines: list[str]) -> Message:
        """Return a view of some of this message's segments."""
        view = Message("", self.syntax, self.charset, self.notices)
        view.lines = lines
        return view

    @property
    def names(self) -> list[str]:
        """Return the names of the segments, in order."""
        if self._names is None:
            names = [line[:_SEGMENT_NAME_LENGTH] for line in self.lines]
            if not all(names) or not "".join(names).isupper() or " " in "".join(names):
                # Blank lines, blanks before the name, lower case: read all the same.
                self.lines = [line for line in map(str.lstrip, self.lines) if line]
                names = [line[:_SEGMENT_NAME_LENGTH].upper() for line in self.lines]
            self._names = names
        return self._names

    def __iter__(self) -> Iterator[Segment]:
        taken = {name: iter(self.segments(name)) for name in dict.fromkeys(self.names)}
        return iter([next(taken[name]) for name in self.names])

    def segments(self, name: str) -> list[Segment]:
        """Return the segments of one name, in order."""
        built = self._built.get(name)
        if built is None:
            lines = [line for own, line in zip(self.names, self.lines, strict=True) if own == name]
            built = [Segment(name, line, self.syntax, index) for index, line in enumerate(lines, 1)]
            self._built[name] = built
        return built

    def segment(self, name: str) -> Segment:
        """Return the first segment of that name; an empty one (every field absent) when there is none."""
        found = self.segments(name)
        return found[0] if found else Segment(name, name, self.syntax, 1)


def _lines(text: str, separator: str) -> list[str]:
    """Cut into segments at CR, CR LF or LF. After a bare LF, a line that looks like no segment is text that goes on.

    CR is the standard's; about half of stored messages have LF. Multi-line text in OBX-5 may hold bare LF as well.
    """
    if "\n" not in text:
        return text.split("\r")
    lines: list[str] = []
    for chunk in text.replace("\r\n", "\r").split("\r"):
        fresh = True
        for line in chunk.split("\n"):
            name = line[:_SEGMENT_NAME_LENGTH] if line[3:4] == separator else line.strip()[:4].rstrip(separator)
            if fresh or not line or (len(name) == _SEGMENT_NAME_LENGTH and name.isalnum() and name[0].isalpha()):
                lines.append(line)
            else:
                lines[-1] += "\n" + line
            fresh = False
    return lines


def parse(body: bytes, default_charset: str) -> Message:
    """Return the message in `body` (one message; what stands before its MSH is left out).

    `default_charset` is the feed's own, used when MSH-18 is empty. Raises `Unreadable`: no MSH, no separators, or a
    character set that cannot travel in this framing (UTF-16, UTF-32: withdrawn in v2.8).
    """
    msh = header_line(body, b"MSH")
    head = peek_line(msh)
    text, charset, notices = er7_text.decode(body, head, default_charset)
    if not text.startswith("MSH"):
        text = text[text.upper().find("MSH") :]
    return Message(text, _syntax(text, charset), charset, notices)


def _syntax(text: str, charset: str) -> Syntax:
    field = text[3:4]
    end = text.find(field, 4)
    encoding = text[4:end] if end >= 0 else re.split(r"[\r\n]", text[4:])[0]
    if not encoding.strip():
        raise Unreadable(
            RejectionCode.MALFORMED, "MSH-2", "MSH-2 is empty: without encoding characters nothing else can be read."
        )
    return syntax_of(field, encoding, charset)


@functools.lru_cache(maxsize=256)
def syntax_of(field: str, encoding: str, codec: str) -> Syntax:
    r"""Return the syntax that MSH-1 and MSH-2 declare; characters that MSH-2 leaves out are not separators.

    `^~\\&` (the escape character twice) is an HL7 string that went through a programming language's quoting
    once too often: read as `^~\&`.
    """
    if len(encoding) > _MSH2_LENGTH_MAX or len(set(encoding)) != len(encoding):
        encoding = "".join(dict.fromkeys(encoding))[:_MSH2_LENGTH_MAX]
    padded = [*encoding, "", "", "", "", ""]
    absent = "\0"
    return Syntax(
        field=field,
        component=padded[0],
        repetition=padded[1] or absent,
        escape=padded[2] or absent,
        subcomponent=padded[3] or absent,
        truncation=padded[4],
        codec=codec,
    )
