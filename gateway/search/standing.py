"""Facts about who may see what: treatment relations, blocks, mandates, ages, and who is the same as whom. Values only.

Resources state them (`stating`), the store keeps them in tables beside the resources, a `reach` asks them.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
from dataclasses import dataclass
from typing import Final

from gateway.search.indexed import reference, token

SOR: Final = "urn:oid:1.2.208.176.1.1"
AUTHORISATION: Final = "https://autregweb.sst.dk"
SHARED: Final = frozenset({"Account", "Appointment", "Group", "Person", "Schedule", "SupplyRequest"})
"""The types that may be in several patients' records."""
NOBODY: Final = reference("patient", "")
"""Stands for a patient where it cannot be told whose record something is in; no patient has this key."""


class Category(enum.IntEnum):
    """How sure a treatment relation is: the categories of Behandlingsrelationsservice, the surest first."""

    A_PLUS = 1  # explicit: a referral
    A = 2  # same place, same time: an encounter under way
    B_PLUS = 3  # same place of treatment: an episode of care
    B = 4  # general: one's own general practitioner
    C = 5  # historic: what has ended


class Power(enum.StrEnum):
    """By what somebody may see another person's data."""

    FULDMAGT = "fuldmagt"  # power of attorney
    CUSTODY = "custody"  # of a child; ends at fifteen
    AGREED = "agreed"  # a professional or organisation that the patient lets see


@dataclass(frozen=True, slots=True)
class Relation:
    """An organisation treats a patient from one moment to another."""

    patient: int
    organisation: int
    category: Category
    starts: dt.datetime
    ends: dt.datetime


@dataclass(frozen=True, slots=True)
class Block:
    """A `spærring`: what professionals, or one of them, do not see of a patient's data while it stands."""

    patient: int
    starts: dt.datetime
    ends: dt.datetime
    actor: int | None = None
    """Whom it shuts out; None is every professional."""
    low: dt.datetime | None = None
    high: dt.datetime | None = None
    """Data of this period; None is of all times."""
    source: int | None = None
    """Data of this organisation and what belongs to it; None is of all."""
    document: int | None = None
    """One resource (`own`); None is all."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """Somebody may see a patient's data, all or of one type, for a while."""

    patient: int
    actor: int
    power: Power
    type: str
    """'' is every type."""
    starts: dt.datetime
    ends: dt.datetime


@dataclass(frozen=True, slots=True)
class Known:
    """Who goes by `name` goes by `also` as well: an identifier and a resource, a part and its whole."""

    name: int
    also: int


@dataclass(frozen=True, slots=True)
class Born:
    """A patient's birthday; where the day is not known, the earliest it can be."""

    patient: int
    day: dt.date


@dataclass(frozen=True, slots=True)
class Same:
    """Two records of patients are one person: a hospital has merged or linked them (Patient.link)."""

    patient: int
    other: int
    mutual: bool
    """It counts where the other record says so too: neither replaces the other."""


@dataclass(frozen=True, slots=True)
class Sharer:
    """A further patient whose record a resource is in, beside the one in its `patient` column."""

    patient: int


@dataclass(frozen=True, slots=True)
class About:
    """What a resource is about, which is not there for who may not see all of it: `own` of each."""

    named: tuple[int, ...]


Standing = Relation | Block | Mandate | Known | Born | Same | Sharer | About


@functools.lru_cache(maxsize=4096)
def known_as(system: str, value: str) -> int:
    """Return the key of whom an identifier names."""
    return token("agent", system, value)
