"""What a telemonitoring vendor sends from citizens' homes: KIH-style readings, alone, in batches or line by line.

Every citizen has instruments of their own; no two readings carry the same time, so that none is taken for another.
Shapes: adapters/home_readings/readings.schema.json.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from synthetic.citizens import Citizens

ZONE = ZoneInfo("Europe/Copenhagen")
_MICROSECOND = dt.timedelta(microseconds=1)
_SEVERITIES = ("green",) * 17 + ("yellow", "yellow", "red")
_INSTRUMENTS = {
    "weight": ("A&D Medical", "UC-352BLE"),
    "blood_pressure": ("A&D Medical", "UA-651BLE"),
    "pulse": ("Nonin", "3230 Bluetooth Smart Pulse Oximeter"),
    "saturation": ("Nonin", "3230 Bluetooth Smart Pulse Oximeter"),
    "temperature": ("A&D Medical", "UT-201BLE"),
    "bloodsugar": ("MyGlycoHealth", "MyGlycoHealth"),
}


class Home:
    """A vendor. `faults` is the share of readings that a gateway must refuse."""

    def __init__(self, citizens: Citizens, clock: Clock, *, faults: float = 0.0, prefix: str = "H") -> None:
        self._citizens = citizens
        self._clock = clock
        self._faults = faults
        self._prefix = prefix
        self._draw = random.Random(f"{citizens.seed} home")  # noqa: S311
        self._last = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._count = 0
        draw = self._draw
        self._kinds: tuple[tuple[str, Callable[[], str]], ...] = (
            ("weight", lambda: f'"kg","value":{draw.uniform(48, 120):.1f}'),
            (
                "blood_pressure",
                lambda: f'"mmHg","systolic":{draw.randint(105, 175)},"diastolic":{draw.randint(55, 100)}',
            ),
            ("pulse", lambda: f'"BPM","value":{draw.randint(48, 110)}'),
            ("saturation", lambda: f'"%","value":{draw.randint(86, 100)}'),
            ("temperature", lambda: f'"°C","value":{draw.uniform(35.8, 38.9):.1f}'),
            ("bloodsugar", lambda: f'"mmol/L","value":{draw.uniform(3.6, 14):.1f}'),
        )

    def readings(self) -> Iterator[str]:
        """Yield readings for ever, each one JSON object."""
        chance = self._draw.random
        while True:
            citizen = self._citizens.one()
            kind, value = self._kinds[int(chance() * len(self._kinds))]
            maker, model = _INSTRUMENTS[kind]
            self._count += 1
            measured = value() if not self._faults or chance() >= self._faults else '"kg","value":null'
            severity = _SEVERITIES[int(chance() * len(_SEVERITIES))]
            yield (
                f'{{"timestamp":"{self._time()}","type":"{kind}","measurement":{{"unit":{measured}}},'
                f'"severity":"{severity}","origin":{{"deviceMeasurement":{{"connectionType":"bluetooth_gatt",'
                f'"manufacturer":"{maker}","model":"{model}",'
                f'"primaryDeviceIdentifier":{{"serialNumber":"{kind[:2].upper()}{citizen.number:06d}"}}}}}},'
                f'"patient":{{"cpr":"{citizen.cpr}"}},"id":"{self._prefix}{self._citizens.seed}.{self._count}"}}'
            )

    def _time(self) -> str:
        """Return the time of one reading: now, and a microsecond after the last one at least."""
        self._last = max(self._clock.now(), self._last + _MICROSECOND)
        return self._last.astimezone(ZONE).isoformat(timespec="microseconds")

    def batches(self, size: int) -> Iterator[bytes]:
        """Yield messages of `size` readings for ever, as a vendor's server answers."""
        readings = self.readings()
        while True:
            listed = ",".join(next(readings) for _ in range(size))
            yield f'{{"total":{size},"max":{size},"offset":0,"results":[{listed}]}}'.encode()

    def lines(self, size: int) -> Iterator[bytes]:
        """Yield NDJSON of `size` readings for ever, each line a message of its own."""
        readings = self.readings()
        while True:
            yield "".join(f"{next(readings)}\n" for _ in range(size)).encode()
