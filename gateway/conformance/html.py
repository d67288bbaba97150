"""Narrative: what XHTML may stand in Narrative.div (R4 narrative.html, invariants txt-1 and txt-2). Not a sanitiser."""

from __future__ import annotations

from typing import Final

from gateway.errors import Incorrect
from gateway.formats import xml

XHTML: Final = "{http://www.w3.org/1999/xhtml}"
DEPTH_MAX: Final = 200
_ELEMENTS: Final = frozenset(
    "p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym cite blockquote hr ul ol li dl dt dd "  # noqa: SIM905 - words, to be read as words
    "pre table caption colgroup col thead tr tfoot th td code samp img map area tbody sub sup address bdo kbd del ins "
    "center strike u s".split()
)
_ATTRIBUTES: Final = frozenset(
    "title style class id idref lang dir accesskey tabindex span width align valign char charoff abbr axis headers scope "  # noqa: SIM905 - words, to be read as words
    "rowspan colspan border cellpadding cellspacing frame rules summary name href rel rev src alt longdesc height usemap "
    "ismap shape coords nohref cite charset type hreflang target bgcolor nowrap compact start value datetime".split()
)
_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"


def is_safe(div: str) -> bool:
    """Say whether a narrative is one XHTML div of formatting elements alone: no script, form, frame, event or style link."""
    try:
        root = xml.parse(div.encode(), depth_max=DEPTH_MAX)
    except Incorrect:
        return False
    if root.tag != f"{XHTML}div":
        return False
    for element in root.iter():
        tag = str(element.tag)
        if not tag.startswith(XHTML) or tag.removeprefix(XHTML) not in _ELEMENTS:
            return False
        for name, value in element.attrib.items():
            if str(name) not in _ATTRIBUTES and name != _XML_LANG:
                return False
            if name in ("href", "src") and str(value).strip().lower().startswith("javascript:"):
                return False
    return True


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
