"""Stored JSON for people's eyes (`_pretty`): line breaks and indents between tokens, every token as it was stored."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_INDENT: Final = b"  "


def pretty(raw: bytes) -> bytes:
    """Return compact JSON with indents of two blanks. Numbers keep their digits: `1.20` stays `1.20`."""
    out: list[bytes] = []
    depth = 0
    last = b""
    for token in _TOKEN.findall(raw):
        if token in {b"}", b"]"}:
            depth -= 1
            if last not in {b"{", b"["}:
                out.append(b"\n" + _INDENT * depth)
        elif last in {b"{", b"[", b","}:
            out.append(b"\n" + _INDENT * depth)
        out.append(b": " if token == b":" else token)
        if token in {b"{", b"["}:
            depth += 1
        last = token
    return b"".join(out) + b"\n"
