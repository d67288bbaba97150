"""What a resource says in its texts → the tokens that tell of the words, and what they tell (`words` says what that is for).

Part of `index`: the hot path of every write. What codes and displays say, of which there are few, is remembered.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.model import Resource
from gateway.search import parameters, words
from gateway.search.indexed import Index, Told, fold, token, word_token
from gateway.search.parameters import Kind


def note(resource: Resource, index: Index) -> None:
    """Add to an index what tells the words of a resource's texts."""
    kind = resource["resourceType"]
    made = _Noting(kind)
    made.element(resource, _plan(kind))
    for name, element in words.singles(kind):
        if element not in resource:
            made.told.append(_lacking(kind, name))
    index.tokens += dict.fromkeys(made.tokens)
    index.told += made.told


@dataclass(slots=True)
class _Place:
    """An element: the stored token parameters whose value it is, as which data type; what is below it."""

    names: tuple[str, ...] = ()
    type: str = ""
    below: dict[str, _Place] = field(default_factory=dict)


_NOWHERE: Final[Mapping[str, _Place]] = {}


@functools.cache
def _plan(resource_type: str) -> Mapping[str, _Place]:
    root = _Place()
    for parameter in parameters.of(resource_type).stored():
        if parameter.kind is not Kind.TOKEN or parameter.name == "_id":
            continue
        for place in parameter.paths:
            if place.type not in words.CODED or words.conditional(place) or not place.steps:
                continue
            at = root
            for step in place.steps:
                at = at.below.setdefault(step.name, _Place())
            at.names, at.type = (*at.names, parameter.name), place.type
    return root.below


@functools.cache
def _lacking(kind: str, name: str) -> Told:
    return Told(kind, ((name, 0, words.MISSING),))


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
                if name not in words.NOT_TEXT:
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
                    elif type(one) is str and name not in words.NOT_TEXT:
                        self.text(name, one, place)

    def text(self, name: str, value: str, place: _Place | None) -> None:
        """Note a text that no Coding or CodeableConcept is around."""
        if place is not None and place.type == "code":
            self.say(_coded(self.kind, place.names, ((value, None, None),), None))
        elif name == "div":
            self.say(_narrated(self.kind, value))
        elif len(value) > _REMEMBERED_MAX:
            self.say(_said(self.kind, (), value))
        elif value[:1] not in _OF_NO_TEXT or name in words.SAID or not words.NO_TEXT.fullmatch(value):
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
            code, display, system = coding.get("code"), coding.get("display"), coding.get("system")
            display = display if type(display) is str else None
            if type(code) is str:
                in_system = (system if type(system) is str else "") if "code" in names else None
                coded.append((code, display, in_system))
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
        said = [word[: words.WORD_MAX] for word in fold(code).split()]
        for beside in (display, text if place == 0 else None):
            if beside is not None:
                more, rest = words.split(beside)
                said += more
                tokens += rest
        rows |= {(name, token(name, None, code), word): None for name in names for word in said}
        if system is not None:
            rows["code", token("code", system, code), words.systems_of(token("code", None, code))] = None
    return tuple(tokens), Told(kind, tuple(rows)) if rows else None


def _said(kind: str, names: tuple[str, ...], text: str, code: str | None = None) -> _Said:
    """Return what is noted of a text: told by the code that it stands beside, or by a token for each of its words."""
    said, rest = words.split(text)
    if code is not None:
        rows = tuple((name, token(name, None, code), word) for name in names for word in said)
        return rest, Told(kind, rows) if rows else None
    own = [(word, word_token(words.ANY_TEXT, word)) for word in said]
    rows = tuple((name, at, word) for name in (words.ANY_TEXT, *names) for word, at in own)
    return (*(at for _, at in own), *rest), Told(kind, rows) if rows else None


def _narrated(kind: str, div: str) -> _Said:
    """Return what is noted of a narrative: its words have tokens of their own, by which `_text` asks."""
    said, rest = words.split(words.plain(div))
    rows = tuple((words.NARRATIVE, word_token(words.NARRATIVE, word), word) for word in said)
    return (*(at for _, at, _ in rows), *rest), Told(kind, rows) if rows else None


_loose = functools.lru_cache(maxsize=1 << 14)(_said)
