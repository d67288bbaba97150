"""The words of a resource's texts, for `_text`, `_content` and `:text`: what says that a word stands in it.

Most texts of a store are few: displays of codes, said again in thousands of resources. A resource that holds a code has a
token of it anyhow, so what is noted of a display is that its words are *told* by that token (`Told`), once a store.
Any other text (a name, a note, a narrative) adds a token for each of its words. A question then asks for the tokens that
tell a word which begins as asked. It finds too much (a code that another resource displays otherwise), never too
little, and `match` decides: what a text is says `stated.content`, and that both agree is a law.

Words that may be a number of somebody are not told by anything: of them a resource has a token of their first three
characters, `beginning`.

What all resources of a type say of a code is known by the same means (`systems_of`, `MISSING`): in which systems a code
stands, and whether an element of one code is ever missing.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.model import Resource
from gateway.search import parameters
from gateway.search.indexed import Index, Told, fold, token, word_token
from gateway.search.parameters import Kind, Parameter

NARRATIVE: Final = "_text"
ANY_TEXT: Final = ""
"""As the parameter of a Told: a text that no code stands for."""
MISSING: Final = " missing"
"""As a word, which no text has: a resource of the type lacks the parameter."""
BEGINNING: Final = 3
"""How many characters of a word that is not told have a token."""
NOT_TEXT: Final = frozenset({"id", "reference", "resourceType", "system", "url", "versionId", "data", "hash"})
"""Strings that hold no text for a reader: names and addresses of resources, binary content."""
SAID: Final = frozenset({"text", "display"})
"""Elements that are text whatever they look like."""
_TAG: Final = re.compile(r"<[^<>]*>")
_NO_TEXT: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T\S*)?)?)?|(https?|urn):\S+")
"""A date, an address: whole strings that are no text either."""
_NUMBER: Final = re.compile(r"[0-9][0-9./ +-]*[0-9]")
_DIGITS_MAX: Final = 3
_WORD_MAX: Final = 40
"""Longer words are not told either: no word of a language, and the dictionary is an index."""


def texts(value: Any, name: str = "") -> Iterable[str]:
    """Yield the texts in a resource or element of this name, as written; of a narrative without its tags."""
    if isinstance(value, str):
        if name == "div":
            yield plain(value)
        elif name in SAID or not (name in NOT_TEXT or _NO_TEXT.fullmatch(value)):
            yield value
    elif isinstance(value, list):
        for one in value:
            yield from texts(one, name)
    elif isinstance(value, dict):
        for below, one in value.items():
            yield from texts(one, below)


def plain(div: str) -> str:
    """Return the text of a narrative."""
    return html.unescape(_TAG.sub(" ", div))


def note(resource: Resource, index: Index) -> None:
    """Add to an index what tells the words of a resource's texts."""
    kind = resource["resourceType"]
    made = _Noting(kind)
    made.element(resource, _plan(kind))
    for name, element in _single(kind):
        if element not in resource:
            made.told.append(_lacking(kind, name))
    index.tokens += dict.fromkeys(made.tokens)
    index.told += made.told


def asked(text: str) -> list[tuple[str, bool]]:
    """Return the words of a folded text that is asked for, and whether each is whole: the last is a word's beginning."""
    words = text.split()
    return [(word, place < len(words)) for place, word in enumerate(words, 1)]


def beginning(word: str) -> int | None:
    """Return the token of a word that is not told, None of one that is too short to be asked for by it."""
    return _beginning(word[:BEGINNING]) if len(word) >= BEGINNING else None


def systems_of(code: int) -> str:
    """Return the word, which no text has, under which the tokens of a code of the parameter `code` in each of its systems
    stand.
    """
    return f" {code}"


def all_told(parameter: Parameter) -> bool:
    """Say whether every value of a token parameter is told: then what is not known of it is nowhere."""
    return all(place.type in _CODED and place.steps and not _where(place) for place in parameter.paths)


def single(resource_type: str, parameter: Parameter) -> bool:
    """Say whether a resource says one code of a parameter at most, and whether it lacks it is told."""
    return any(name == parameter.name for name, _ in _single(resource_type))


def parameters_of(parameter: Parameter) -> list[str] | None:
    """Return the parameters whose Tolds a question goes by: all (an empty list) for `_content`, None where texts of it
    may be told by nothing.
    """
    if parameter.name == "_content":
        return []
    if parameter.name == NARRATIVE:
        return [NARRATIVE]
    types = {place.type for place in parameter.paths}
    if parameter.kind is Kind.REFERENCE and types <= {"Reference", "Resource"}:
        return [ANY_TEXT]
    if parameter.kind is not Kind.TOKEN or not types <= _TEXTED:
        return None
    return list(parameter.stored_as) if all_told(parameter) else [*parameter.stored_as, ANY_TEXT]


_CODED: Final = frozenset({"CodeableConcept", "Coding", "code"})
_TEXTED: Final = _CODED | {"Identifier", "ContactPoint", "boolean", "Truth"}


@dataclass(slots=True)
class _Place:
    """An element: the stored token parameters whose value it is, as which data type; what is below it."""

    names: tuple[str, ...] = ()
    type: str = ""
    below: dict[str, _Place] = field(default_factory=dict)


_NOWHERE: Final[Mapping[str, _Place]] = {}


def _where(place: parameters.Place) -> bool:
    return any(step.where for step in place.steps)


@functools.cache
def _plan(resource_type: str) -> Mapping[str, _Place]:
    root = _Place()
    for parameter in parameters.of(resource_type).stored():
        if parameter.kind is not Kind.TOKEN or parameter.name == "_id":
            continue
        for place in parameter.paths:
            if place.type not in _CODED or _where(place) or not place.steps:
                continue
            at = root
            for step in place.steps:
                at = at.below.setdefault(step.name, _Place())
            at.names, at.type = (*at.names, parameter.name), place.type
    return root.below


@functools.cache
def _single(resource_type: str) -> list[tuple[str, str]]:
    """Return (parameter, element) of those whose one value is a code at the root."""
    found = []
    for one in parameters.of(resource_type).stored():
        if one.kind is Kind.TOKEN and len(one.paths) == 1 and one.paths[0].type == "code" and not _where(one.paths[0]):
            steps = one.paths[0].steps
            if len(steps) == 1 and not steps[0].repeats:
                found.append((one.name, steps[0].name))
    return found


@functools.cache
def _lacking(kind: str, name: str) -> Told:
    return Told(kind, ((name, 0, MISSING),))


class _Noting:
    """Walks one resource."""

    __slots__ = ("kind", "tokens", "told")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.tokens: list[int] = []
        self.told: list[Told] = []

    def element(self, element: Mapping[str, Any], plan: Mapping[str, _Place]) -> None:
        """Note what stands in an element; `plan` has the places below it."""
        for name, value in element.items():
            place = plan.get(name) if plan else None
            if type(value) is str:
                if name not in NOT_TEXT:
                    self.text(name, value, place)
            elif type(value) is dict:
                if place is not None:
                    self.placed(value, place)
                elif len(value) > 1 or type(value.get("reference")) is not str:
                    self.element(value, _NOWHERE)
            elif type(value) is list:
                for one in value:
                    if type(one) is dict:
                        if place is not None:
                            self.placed(one, place)
                        else:
                            self.element(one, _NOWHERE)
                    elif type(one) is str and name not in NOT_TEXT:
                        self.text(name, one, place)

    def text(self, name: str, value: str, place: _Place | None) -> None:
        """Note a text that no Coding or CodeableConcept is around."""
        if place is not None and place.type == "code":
            self.say(_coded(self.kind, place.names, ((value, None, None),), None))
        elif name == "div":
            self.say(_narrated(self.kind, value))
        elif len(value) > _REMEMBERED_MAX:
            self.say(_said(self.kind, (), value))
        elif value[:1] not in _OF_NO_TEXT or name in SAID or not _NO_TEXT.fullmatch(value):
            self.say(_loose(self.kind, (), value))

    def placed(self, value: Mapping[str, Any], place: _Place) -> None:
        """Note an element that may be a token parameter's, or have such below it."""
        names = place.names
        if place.type == "CodeableConcept":
            codings, text = value.get("coding"), value.get("text")
            self.codings(codings if type(codings) is list else (), text if type(text) is str else None, names)
            if len(value) > (codings is not None) + (text is not None):
                self.element({name: one for name, one in value.items() if name not in _OF_CONCEPT}, _NOWHERE)
        elif place.type == "Coding":
            self.codings((value,), None, names)
        else:
            self.element(value, place.below)

    def codings(self, codings: Iterable[Any], text: str | None, names: tuple[str, ...]) -> None:
        """Note Codings, and the text beside them."""
        coded: list[_Coding] = []
        for coding in codings:
            if type(coding) is not dict:
                continue
            code, display = coding.get("code"), coding.get("display")
            display = display if type(display) is str else None
            if type(code) is str:
                coded.append((code, display, coding.get("system", "") if "code" in names else None))
            elif display is not None:
                self.say(_loose(self.kind, names, display))
            if len(coding) > ("system" in coding) + (code is not None) + (display is not None):
                self.element({name: one for name, one in coding.items() if name not in _OF_CODING}, _NOWHERE)
        if text is not None and (not coded or len(text) > _REMEMBERED_MAX):
            self.say(_said(self.kind, names, text, coded[0][0] if coded else None))
            text = None
        if coded:
            self.say(_coded(self.kind, names, tuple(coded), text))

    def say(self, found: _Said) -> None:
        """Take what is to be noted of a text."""
        tokens, told = found
        if tokens:
            self.tokens += tokens
        if told is not None:
            self.told.append(told)


_Coding = tuple[str, str | None, str | None]
"""(code, display, system); the system where it is to be told."""
_Said = tuple[tuple[int, ...], Told | None]
"""The tokens that a text adds, and what is told of it."""
_OF_CONCEPT: Final = frozenset({"coding", "text"})
_OF_CODING: Final = frozenset({"system", "code", "display"})
_OF_NO_TEXT: Final = frozenset("0123456789hu")
"""How a whole string that is no text begins."""
_REMEMBERED_MAX: Final = 200
"""Longer texts are a narrative's or a note's, and not said again."""


@functools.lru_cache(maxsize=1 << 14)
def _coded(kind: str, names: tuple[str, ...], codings: tuple[_Coding, ...], text: str | None) -> _Said:
    """Return what is noted of the codes and displays of an element, and of the text beside them. A code is told whatever
    it looks like: it is a terminology's, nobody's own.
    """
    rows: dict[tuple[str, int, str], None] = {}
    tokens: list[int] = []
    for place, (code, display, system) in enumerate(codings):
        words = [word[:_WORD_MAX] for word in fold(code).split()]
        for beside in (display, text if place == 0 else None):
            if beside is not None:
                more, rest = _words(beside)
                words += more
                tokens += rest
        rows |= {(name, token(name, None, code), word): None for name in names for word in words}
        if system is not None:
            rows["code", token("code", system, code), systems_of(token("code", None, code))] = None
    return tuple(tokens), Told(kind, tuple(rows)) if rows else None


def _said(kind: str, names: tuple[str, ...], text: str, code: str | None = None) -> _Said:
    """Return what is noted of a text: told by the code that it stands beside, or by a token for each of its words."""
    words, rest = _words(text)
    if code is not None:
        rows = tuple((name, token(name, None, code), word) for name in names for word in words)
        return rest, Told(kind, rows) if rows else None
    own = [(word, word_token(ANY_TEXT, word)) for word in words]
    rows = tuple((name, at, word) for name in (ANY_TEXT, *names) for word, at in own)
    return (*(at for _, at in own), *rest), Told(kind, rows) if rows else None


def _narrated(kind: str, div: str) -> _Said:
    """Return what is noted of a narrative: its words have tokens of their own, by which `_text` asks."""
    words, rest = _words(plain(div))
    rows = tuple((NARRATIVE, word_token(NARRATIVE, word), word) for word in words)
    return (*(at for _, at, _ in rows), *rest), Told(kind, rows) if rows else None


_loose = functools.lru_cache(maxsize=1 << 14)(_said)


def _words(text: str) -> tuple[list[str], tuple[int, ...]]:
    """Return the words of a text that may be told, and the tokens of those that may not."""
    folded = fold(text)
    numbers = {part for found in _NUMBER.finditer(folded) for part in found[0].split()} if _number(folded) else set()
    words, rest = [], []
    for word in dict.fromkeys(folded.split()):
        if len(word) > _WORD_MAX or _number(word) or word in numbers:
            rest.append(_beginning(word[:BEGINNING]))
        else:
            words.append(word)
    return words, tuple(rest)


def _number(text: str) -> bool:
    return sum(map(str.isdigit, text)) > _DIGITS_MAX


def _beginning(characters: str) -> int:
    return word_token("beginning", characters)
