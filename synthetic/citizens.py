"""Citizens of Region Syddanmark who do not exist: common Danish names at random, test person numbers, made-up streets."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

WOMEN = ("Anne", "Birgit", "Dorthe", "Emma", "Frida", "Gitte", "Hanne", "Inger", "Karen", "Lærke", "Mette", "Sørine")
MEN = ("Anders", "Bjørn", "Christian", "Erik", "Frederik", "Henrik", "Jens", "Kåre", "Lars", "Mikkel", "Niels", "Søren")
FAMILIES = (
    *("Andersen", "Bæk", "Christensen", "Dahl", "Eskildsen", "Frøslev", "Hansen", "Højgård", "Jørgensen"),
    *("Kjær", "Lund", "Møller", "Nørgaard", "Østergaard", "Pedersen", "Rasmussen", "Skov", "Åkjær"),
)
STREETS = ("Prøvevej", "Æblehaven", "Testgrusgraven", "Åbrinken", "Sundbrogade", "Øster Prøvegade")
TOWNS = (
    ("5000", "Odense C", "0461"),
    ("5700", "Svendborg", "0479"),
    ("5970", "Ærøskøbing", "0492"),
    ("6200", "Aabenraa", "0580"),
    ("6400", "Sønderborg", "0540"),
    ("6700", "Esbjerg", "0561"),
    ("6000", "Kolding", "0621"),
    ("7100", "Vejle", "0630"),
)
"""Post code, town, municipality code: a few of the region's 22 municipalities."""

_FIRST_YEAR, _LAST_YEAR = 1937, 2024
"""Birth years that a number whose seventh digit is 9 can say (Personnummeret i CPR, table 1)."""
_SERIALS = 100
_DAYS = (dt.date(_LAST_YEAR, 12, 31) - dt.date(_FIRST_YEAR, 1, 1)).days + 1
COUNT_MAX = _DAYS * _SERIALS // 4


@dataclass(frozen=True, slots=True)
class Citizen:
    """One synthetic person. `cpr` is ten digits without hyphen, its serial 99nn; `sex` is F or M, as its last digit."""

    number: int
    cpr: str
    given: str
    family: str
    sex: str
    born: dt.date
    street: str
    postal_code: str
    town: str
    municipality: str
    phone: str


class Citizens:
    """A population by seed: `citizens[7]`, `len(citizens)`, all of them in a loop, or `one()` at random."""

    def __init__(self, seed: int, count: int = 1000) -> None:
        if not 0 < count <= COUNT_MAX:
            msg = f"between 1 and {COUNT_MAX} citizens"
            raise ValueError(msg)
        self.seed = seed
        draw = random.Random(seed)  # noqa: S311 - nothing secret: the same seed must give the same people
        chance = random.Random(f"{seed} one")  # noqa: S311
        places = draw.sample(range(_DAYS * _SERIALS), count)
        self._all = tuple(_citizen(number, place, draw) for number, place in enumerate(places))
        self._turns = (self._all[int(chance.random() * len(self._all))] for _ in itertools.repeat(None))

    @classmethod
    def of(cls, seed: int, citizens: Sequence[Citizen]) -> Self:
        """Return a population of these alone, who take turns."""
        made = cls(seed, 1)
        made._take_turns(citizens)
        return made

    def _take_turns(self, citizens: Sequence[Citizen]) -> None:
        self._all = tuple(citizens)
        self._turns = (citizen for citizen in itertools.cycle(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Citizen:
        return self._all[number]

    def __iter__(self) -> Iterator[Citizen]:
        return iter(self._all)

    def one(self) -> Citizen:
        """Return one of them; the sequence of calls is the same for the same seed."""
        return next(self._turns)


def _citizen(number: int, place: int, draw: random.Random) -> Citizen:
    days, serial = divmod(place, _SERIALS)
    born = dt.date(_FIRST_YEAR, 1, 1) + dt.timedelta(days=days)
    sex = "M" if serial % 2 else "F"
    postal_code, town, municipality = draw.choice(TOWNS)
    return Citizen(
        number,
        f"{born:%d%m%y}99{serial:02d}",
        draw.choice(MEN if sex == "M" else WOMEN),
        draw.choice(FAMILIES),
        sex,
        born,
        f"{draw.choice(STREETS)} {draw.randint(1, 199)}",
        postal_code,
        town,
        municipality,
        f"+45 70{draw.randint(0, 999999):06d}",
    )
