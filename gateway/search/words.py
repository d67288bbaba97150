"""The words of a resource's texts, for `_text`, `_content` and `:text`: what says that a word stands in it.

Most texts of a store are few: displays of codes, said again in thousands of resources. A resource that holds a code has a
token of it anyhow, so what is noted of a display is that its words are *told* by that token (`Told`), once a store.
Any other text (a name, a note, a narrative) adds a token for each of its words. A question then asks for the tokens that
tell a word which begins as asked. It finds too much (a code that another resource displays otherwise), never too
little, and `match` decides: what a text is says `stated.content`, and that both agree is a law. `telling` notes what a
resource says; here is what its texts are, and what a question asks.

Words that may be a number of somebody are not told by anything: of them a resource has a token of their first three
characters, `beginning`.

What all resources of a type say of a code is known by the same means (`systems_of`, `MISSING`): in which systems a code
stands, and whether an element of one code is ever missing.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable
from typing import Any, Final

from gateway.search import parameters
from gateway.search.indexed import fold, word_token
from gateway.search.parameters import Kind, Parameter, Place

NARRATIVE: Final = "_text"
"""As the parameter of a Told: the narrative."""
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
CODED: Final = frozenset({"CodeableConcept", "Coding", "code"})
"""Data types whose texts are told by their codes."""
_TEXTED: Final = CODED | {"Identifier", "ContactPoint", "boolean", "Truth"}
_TAG: Final = re.compile(r"<[^<>]*>")
NO_TEXT: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T\S*)?)?)?|(https?|urn):\S+")
"""A date, an address: whole strings that are no text either."""
_NUMBER: Final = re.compile(r"[0-9][0-9./ +-]*[0-9]")
_DIGITS_MAX: Final = 3
WORD_MAX: Final = 40
"""Longer words are not told either: no word of a language, and the dictionary is an index."""


def texts(value: Any, name: str = "") -> Iterable[str]:
    """Yield the texts in a resource or element of this name, as written; of a narrative without its tags."""
    if isinstance(value, str):
        if name == "div":
            yield plain(value)
        elif name in SAID or not (name in NOT_TEXT or NO_TEXT.fullmatch(value)):
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


def asked(text: str) -> list[tuple[str, bool]]:
    """Return the words of a folded text that is asked for, and whether each is whole: the last is a word's beginning, and
    so is of a long one as much as is told of it.
    """
    words = text.split()
    return [(word[:WORD_MAX], place < len(words) and len(word) < WORD_MAX) for place, word in enumerate(words, start=1)]


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
    return all(place.type in CODED and place.steps and not conditional(place) for place in parameter.paths)


def single(resource_type: str, parameter: Parameter) -> bool:
    """Say whether a resource says one code of a parameter at most, and whether it lacks it is told."""
    return any(name == parameter.name for name, _ in singles(resource_type))


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


def conditional(place: Place) -> bool:
    """Say whether an element is a parameter's by what stands beside it."""
    return any(step.where for step in place.steps)


@functools.cache
def singles(resource_type: str) -> list[tuple[str, str]]:
    """Return (parameter, element) of those parameters of a type whose one value is a code at the root."""
    found = []
    for one in parameters.of(resource_type).stored():
        if (
            one.kind is Kind.TOKEN
            and len(one.paths) == 1
            and one.paths[0].type == "code"
            and not conditional(one.paths[0])
        ):
            steps = one.paths[0].steps
            if len(steps) == 1 and not steps[0].repeats:
                found.append((one.name, steps[0].name))
    return found


def split(text: str) -> tuple[list[str], tuple[int, ...]]:
    """Return the words of a text that may be told, and the tokens of those that may not."""
    folded = fold(text)
    numbers = {part for found in _NUMBER.finditer(folded) for part in found[0].split()} if _number(folded) else set()
    words, rest = [], []
    for word in dict.fromkeys(folded.split()):
        if len(word) > WORD_MAX or _number(word) or word in numbers:
            rest.append(_beginning(word[:BEGINNING]))
        else:
            words.append(word)
    return words, tuple(rest)


def _number(text: str) -> bool:
    return sum(map(str.isdigit, text)) > _DIGITS_MAX


def _beginning(characters: str) -> int:
    return word_token("beginning", characters)
