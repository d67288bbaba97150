"""What is kept beside a resource to find it by, and the hashes that writing and searching agree on.

The meeting point of both: `index` fills an `Index`, `parse` asks for the same hashes (blake2b, 64 bits, signed for
PostgreSQL). Not how it is stored, which is the store's.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:  # `standing` hashes as this module says
    from gateway.search.standing import Standing


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big", signed=True)


def token(parameter: str, system: str | None, code: str) -> int:
    """Return the hash of `parameter=system|code`; `system` None is the form `parameter=code` (any system), '' is
    `parameter=|code` (no system); `code` '' is the form `parameter=system|` (any code of a system).

    Two more forms are hashed as tokens of a parameter of their own: `parameter:identifier` of a Reference.identifier,
    and `parameter:of-type`, whose system is `system|code` of the identifier's type and whose code is its value.
    """
    return _hash("token", parameter, code) if system is None else _hash("token", parameter, system, code)


def reference(parameter: str, target: str) -> int:
    """Return the hash of `parameter=Type/id` (or an absolute URL): `own(target) ^ reference_parameter(parameter)`.

    Composed so that a store can join: where `own` of a resource is kept beside it, `own # reference_parameter(…)` is
    the token that whatever refers to it by that parameter holds.
    """
    return own(target) ^ reference_parameter(parameter)


WORDS: Final = 1 << 24
"""Tokens of words are below this and not negative: what looks for references among tokens passes over them. That another
token is so small is as likely as that two tokens are the same.
"""


def word_token(kind: str, word: str) -> int:
    """Return the token of a word that no code stands for (`telling`): 24 bits; two words may have the same."""
    return _hash("word", kind, word) % WORDS


@functools.lru_cache(maxsize=1 << 13)
def own(target: str) -> int:
    """Return the hash of what a reference names: `Type/id`, an absolute URL, a canonical."""
    return _hash("target", target)


@functools.cache
def reference_parameter(name: str) -> int:
    """Return the hash of a reference parameter's name."""
    return _hash("reference", name)


def fold(text: str) -> str:
    """Return text as strings are compared: without case and accents (R4 search, string), blanks run together.

    Danish æ and ø are letters of their own, not accented ones, and stay; å is an a with a ring, and becomes aa's
    neighbour `a`, as R4 asks of accents. Folding twice changes nothing.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # twice: a compatibility form may be a capital (ℌ), and a folded letter may have an accent (ΐ)
    for _ in range(2):
        apart = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(one for one in apart if not unicodedata.combining(one))
    return " ".join(text.split())


class Measure(NamedTuple):
    """A number or quantity as indexed: the closed interval that it means (a comparator makes it one-sided, a Range
    has two ends; None is open), in the unit that it was stated in.
    """

    parameter: str
    low: Decimal | None
    high: Decimal | None
    system: str = ""
    code: str = ""
    unit: str = ""
    """As displayed; a search for `5.4||mmHg` asks for code or unit."""


@dataclass(frozen=True, slots=True)
class Told:
    """Words that tokens tell of: a resource of the type that has the token may have the word in a text of the parameter
    ('' a text that no code stands for). The same text makes the same object, so that what is known is seen at once.
    """

    type: str
    rows: tuple[tuple[str, int, str], ...]
    """(parameter, token, word), the word folded."""

    def __hash__(self) -> int:
        """Hash the first of its rows: those that tell the same are nearly always one object."""
        return hash((self.type, self.rows[0]))


@dataclass(slots=True)
class Index:
    """What a resource is found by. The store has columns for `patient`, `code` and the main date, an array for the
    other tokens, rows for other dates (../docs/explanation/store.md).
    """

    patient: int | None = None
    """`reference('patient', 'Patient/…')` of the patient it is about."""
    code: int | None = None
    """`token('code', None, …)` of the coding that most questions will name (LOINC first), whatever its system."""
    date_low: dt.datetime | None = None
    """The main date of its type (Observation.date, Encounter.date, Patient.birthdate …) as the interval it covers."""
    date_high: dt.datetime | None = None
    tokens: list[int] = field(default_factory=list)
    """Every token and reference of every parameter, in every form of `token`."""
    dates: list[tuple[str, dt.datetime, dt.datetime]] = field(default_factory=list)
    """Other date parameters: (parameter, low, high)."""
    strings: list[tuple[str, str, str]] = field(default_factory=list)
    """Of string parameters (and of uri parameters, for `:below`): (parameter, folded, as written)."""
    measures: list[Measure] = field(default_factory=list)
    """Of number and quantity parameters."""
    present: int = 0
    """A bit for each parameter of the type that has a value, by `parameters.Parameters.bit`: what `:missing` asks."""
    standing: tuple[Standing, ...] = ()
    """What it says of who may see what."""
    told: list[Told] = field(default_factory=list)
    """Of which words its tokens tell (`telling`)."""
