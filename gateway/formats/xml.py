"""The one door for XML: bytes → a parsed tree and back, with nothing that a document could use against its reader.

No DOCTYPE at all (so no entity but the five of XML itself, no external subset), nothing is fetched, comments and
processing instructions are passed over, nesting is limited. Source of the rules: OWASP XXE prevention; libxml2's own
limits stay on (`huge_tree=False`).

Every refusal is `errors.Incorrect` with the place in `at`; its text never repeats what stood there. Not here: what
the elements mean (`fhirxml`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lxml import etree

from gateway.errors import Incorrect

DEPTH_MAX = 64

_BOM = b"\xef\xbb\xbf"
_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_READABLE = frozenset({b"utf-8", b"us-ascii", b"iso-8859-1", b"iso-8859-15", b"windows-1252"})
"""Encodings in which `<` is one byte and always means `<`: what the look for a DOCTYPE relies on."""


def parse(data: bytes, *, depth_max: int = DEPTH_MAX) -> etree._Element:
    """Return the root element of a document; the root has depth 1.

    Raises errors.Incorrect when it is not well-formed, carries a DOCTYPE, nests deeper than `depth_max`, or is not in
    UTF-8 (or a one-byte encoding that its declaration names).
    """
    _refuse_encoding(data)
    if b"<!DOCTYPE" in data:
        raise Incorrect("XML with a DOCTYPE is not accepted", at="DOCTYPE")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        at = f"line {line} column {column}"
        raise Incorrect(f"not well-formed XML: {_fault_name(error)} at {at}", at=at) from None
    except ValueError:
        raise Incorrect("not well-formed XML") from None
    tree: Any = root.getroottree()
    if tree.docinfo.doctype:
        raise Incorrect("XML with a DOCTYPE is not accepted", at="DOCTYPE")
    if data.count(b"<") > depth_max:  # each level has a tag: most documents are too short to be walked for it
        _refuse_depth(root, depth_max)
    return root


Tree = tuple[str, Mapping[str, str], "str | Sequence[Tree]"]
"""An element to be written: its name, its attributes, and its text or what is inside it."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def dumps(tree: Tree, *, namespace: str, prefix: str) -> bytes:
    """Write a document whose root is in a namespace and whose other elements are in none, in UTF-8, undeclared.

    Characters that XML does not have are written as U+FFFD.
    """
    name, attributes, inside = tree
    root = etree.Element(f"{{{namespace}}}{name}", dict(attributes), nsmap={prefix: namespace})
    _write(root, inside)
    return etree.tostring(root, encoding="unicode").encode()


def _write(element: etree._Element, inside: str | Sequence[Tree]) -> None:
    if isinstance(inside, str):
        element.text = _NOT_XML.sub("\ufffd", inside)
        return
    for name, attributes, content in inside:
        _write(etree.SubElement(element, name, dict(attributes)), content)


def _refuse_encoding(data: bytes) -> None:
    if b"\x00" in data[:4] or data[:2] in {b"\xfe\xff", b"\xff\xfe"}:
        raise Incorrect("XML must be in UTF-8, not UTF-16 or UTF-32", at="line 1 column 1")
    declared = _ENCODING.match(data.removeprefix(_BOM))
    if declared is not None and declared[1].lower() not in _READABLE:
        raise Incorrect("XML must be in UTF-8; its declaration names another encoding", at="line 1 column 1")


def _refuse_depth(root: etree._Element, depth_max: int) -> None:
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > depth_max:
            at = f"line {element.sourceline}"
            raise Incorrect(f"XML nested deeper than {depth_max} levels at {at}", at=at)


def _fault_name(error: etree.XMLSyntaxError) -> str:
    """Return libxml2's name of the fault: a closed list, unlike its message, which quotes the document."""
    log: Any = error.error_log
    name = str(log[0].type_name) if len(log) else "syntax"
    return name.removeprefix("ERR_").lower().replace("_", " ")
