"""Narrative: what XHTML may stand in Narrative.div (FHIR R4 narrative.html, invariants txt-1 and txt-2). Not a sanitiser:
what may not stand there is refused, never taken out.

The gate asks it of every narrative that is written, wherever it stands (`primitives`), so that nobody who shows one runs
a script or fetches a style sheet; `$validate` asks also whether it shows anything and whether its links lead anywhere.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import Incorrect
from gateway.formats import xml

XHTML: Final = "{http://www.w3.org/1999/xhtml}"
DEPTH_MAX: Final = 200
_NAMES: Final = (
    "p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym cite blockquote hr ul ol li dl dt dd "
    "pre table caption colgroup col thead tr tfoot th td code samp img map area tbody sub sup address bdo kbd del ins center "
    "strike u s"
)
_ELEMENTS: Final = frozenset(XHTML + name for name in _NAMES.split())
"""HTML 4.0, chapters 7 to 11 (but 9.4) and 15, as the official validator counts them: no head, body, script, style, form,
frame, object, link, base."""
_ATTRIBUTE_NAMES: Final = (
    "title style class id idref lang dir accesskey tabindex span width align valign char charoff abbr axis headers scope "
    "rowspan colspan border cellpadding cellspacing frame rules summary name href rel rev src alt longdesc height usemap "
    "ismap shape coords nohref cite charset type hreflang target bgcolor nowrap compact start value datetime "
    "{http://www.w3.org/XML/1998/namespace}lang"
)
_ATTRIBUTES: Final = frozenset(_ATTRIBUTE_NAMES.split())
_ADDRESSES: Final = frozenset({"href", "src", "cite", "longdesc", "usemap"})
_BLANK: Final = re.compile("[\x00-\x20]+")
_ACTIVE: Final = ("javascript:", "vbscript:", "data:")
_PICTURE: Final = "data:image/"


def fault(div: str) -> str:
    """Return in words why a narrative is not one XHTML div of formatting alone (txt-1), '' for a good one.

    The words repeat nothing of it.
    """
    try:
        root = xml.parse(div.encode(), depth_max=DEPTH_MAX)
    except Incorrect:
        return "is not well-formed XHTML (of entities XML's own five; no DOCTYPE)"
    if root.tag != f"{XHTML}div":
        return "is not a div of http://www.w3.org/1999/xhtml"
    for element in root.iter():
        if element.tag not in _ELEMENTS:
            return "holds an element that is not for formatting text (as scripts, forms, frames, styles are)"
        for name, value in element.items():
            if name not in _ATTRIBUTES:
                return "holds an attribute that is not for formatting text (as events are)"
            if name in _ADDRESSES and _active(str(name), str(value)):
                return "holds an address that is a program"
    return ""


def is_safe(div: str) -> bool:
    """Say whether a narrative is one XHTML div of formatting elements alone: no script, form, frame, event or style link."""
    return not fault(div)


def has_content(div: str) -> bool:
    """Say whether a narrative shows anything: text other than blanks, or an image (txt-2)."""
    try:
        root = xml.parse(div.encode(), depth_max=DEPTH_MAX)
    except Incorrect:
        return True  # txt-1 says what is wrong
    return any(str(element.tag) == f"{XHTML}img" for element in root.iter()) or bool(
        "".join(map(str, root.itertext())).strip()
    )


def broken_links(div: str, known: set[str | None]) -> bool:
    """Say whether a link to `#name` finds neither an id or anchor in the narrative nor a resource of `known` ids."""
    try:
        root = xml.parse(div.encode(), depth_max=DEPTH_MAX)
    except Incorrect:
        return False
    anchors = {value for element in root.iter() for name in ("id", "name") if (value := element.get(name))}
    links = {str(element.get("href"))[1:] for element in root.iter() if str(element.get("href")).startswith("#")}
    return bool(links - anchors - known - {""})


def _active(name: str, value: str) -> bool:
    address = _BLANK.sub("", value).lower()  # browsers pass over blanks and line breaks within an address
    return address.startswith(_ACTIVE) and not (name == "src" and address.startswith(_PICTURE))
