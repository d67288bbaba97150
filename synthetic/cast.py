"""The cast: the people whom one can log in as are citizens of the demo, and something is sent about each at its beginning.

Whom it is sent about says who has a treatment relation to whom (people.toml). Their numbers are test numbers, as all.
"""

from __future__ import annotations

import datetime as dt
import itertools
import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Any

from gateway.clock import Clock
from synthetic.citizens import STREETS, TOWNS, Citizen, Citizens
from synthetic.home import Home
from synthetic.hospital import Hospital
from synthetic.laboratory import Laboratory
from synthetic.municipal import Municipality

_SEED = 0
_CENTURIES = {True: 2000, False: 1900}
_NUMBER = 900_000
"""Beyond every population's: their instruments are their own."""
_LAST_OF_2000S = 36
"""A number whose seventh digit is 9 is of the 2000s up to this year (Personnummeret i CPR, table 1)."""


def people() -> dict[str, dict[str, Any]]:
    """Return people.toml."""
    return tomllib.loads(resources.files(__package__).joinpath("people.toml").read_text("utf-8"))


def cast(wanted: str = "") -> Citizens:
    """Return the citizens of people.toml as a population, all or those with this mark (`admitted`, `nursed`)."""
    listed = [each for each in people()["citizens"].values() if not wanted or each.get(wanted)]
    return Citizens.of(_SEED, [_citizen(number, each) for number, each in enumerate(listed)])


def beginnings(clock: Clock) -> dict[str, Iterator[bytes]]:
    """Return what each source of the demo sends first: stays, results, visits and readings of the cast."""
    everybody, admitted, nursed = cast(), cast("admitted"), cast("nursed")
    return {
        "adt": Hospital(admitted, clock, prefix="CAST").admissions(),
        "oru": itertools.islice(Laboratory(admitted, clock, prefix="CAST").results(), len(admitted)),
        "observation": itertools.islice(Municipality(nursed, clock).observations(), len(nursed)),
        "home": itertools.islice(Home(everybody, clock, prefix="CAST").batches(len(everybody)), 2),
    }


def _citizen(number: int, person: dict[str, Any]) -> Citizen:
    cpr = person["cpr"]
    year = int(cpr[4:6]) + _CENTURIES[int(cpr[4:6]) <= _LAST_OF_2000S]
    postal_code, town, municipality = TOWNS[number % len(TOWNS)]
    return Citizen(
        _NUMBER + number,
        cpr,
        person["given"],
        person["family"],
        "M" if int(cpr[-1]) % 2 else "F",
        dt.date(year, int(cpr[2:4]), int(cpr[:2])),
        f"{STREETS[number % len(STREETS)]} {number + 1}",
        postal_code,
        town,
        municipality,
        f"+45 7000{number:04d}",
    )
