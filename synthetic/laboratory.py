"""What a clinical biochemistry department says: ORU^R01 in HL7 v2.5.1, about 4 kB, fifteen NPU-coded results.

Everything that does not change from message to message is rendered once: a message is one formatting of a template.
Shapes: HL7 v2.5.1 chapter 7. NPU codes and units as Danish laboratories use them; reference intervals are made up.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.clock import Clock
from synthetic.citizens import Citizen, Citizens
from synthetic.hospital import Department, msh, pid, stamp


class Analysis(NamedTuple):
    """One quantity of the panel: NPU code, Danish name, unit as written and in UCUM, reference interval, decimals."""

    code: str
    name: str
    unit: str
    ucum: str
    low: float
    high: float
    decimals: int


PANEL = (
    Analysis("NPU02319", "B-Hæmoglobin(Fe); stofk. = ? mmol/L", "mmol/L", "mmol/L", 7.3, 10.5, 1),
    Analysis("NPU02593", "B-Leukocytter; antalk. = ? × 10E9/L", "10E9/L", "10*9/L", 3.5, 8.8, 1),
    Analysis("NPU03568", "B-Trombocytter; antalk. = ? × 10E9/L", "10E9/L", "10*9/L", 145, 390, 0),
    Analysis("NPU19748", "P-C-reaktivt protein; massek. = ? mg/L", "mg/L", "mg/L", 0, 6, 1),
    Analysis("NPU18016", "P-Creatininium; stofk. = ? µmol/L", "µmol/L", "umol/L", 45, 105, 0),
    Analysis("NPU03429", "P-Natrium-ion; stofk. = ? mmol/L", "mmol/L", "mmol/L", 137, 145, 0),
    Analysis("NPU03230", "P-Kalium-ion; stofk. = ? mmol/L", "mmol/L", "mmol/L", 3.5, 4.4, 1),
    Analysis("NPU01459", "P-Carbamid; stofk. = ? mmol/L", "mmol/L", "mmol/L", 2.6, 8.1, 1),
    Analysis("NPU19651", "P-Alanintransaminase; kat.k. = ? U/L", "U/L", "U/L", 10, 70, 0),
    Analysis("NPU27783", "P-Basisk fosfatase; kat.k. = ? U/L", "U/L", "U/L", 35, 105, 0),
    Analysis("NPU01370", "P-Bilirubiner; stofk. = ? µmol/L", "µmol/L", "umol/L", 5, 25, 0),
    Analysis("NPU19673", "P-Albumin; massek. = ? g/L", "g/L", "g/L", 34, 48, 0),
    Analysis("NPU27300", "Hb(B)-Hæmoglobin A1c(IFCC); stoffr. = ? mmol/mol", "mmol/mol", "mmol/mol", 31, 44, 0),
    Analysis("NPU03577", "P-Thyrotropin; arb.stofk. = ? × 10E-3 int.enh./L", "10E-3 IU/L", "m[IU]/L", 0.3, 4, 2),
    Analysis("NPU01566", "P-Cholesterol+ester; stofk. = ? mmol/L", "mmol/L", "mmol/L", 3, 5, 1),
)
_PLACE = "\x00"
_VALUES = 97
"""Rendered results per analysis, from which messages draw."""


class Laboratory(Department):
    """A laboratory."""

    name = "laboratory"
    prefix = "LAB"

    def __init__(self, citizens: Citizens, clock: Clock, **given: Any) -> None:
        """Take what a Department takes."""
        super().__init__(citizens, clock, **given)
        self._results = tuple(
            tuple(_result(analysis, self._draw).encode(self._charset) for _ in range(_VALUES)) for analysis in PANEL
        )
        self._persons: dict[int, bytes] = {}

    def results(self) -> Iterator[bytes]:
        """Yield ORU^R01 messages for ever, each an order of its own."""
        chance, pools = self._draw.random, self._results
        second, pieces, now = None, [b""], b""
        while True:
            moment = self._clock.now()
            if moment.replace(microsecond=0) != second:
                second = moment.replace(microsecond=0)
                pieces = self._pieces(moment)
                now = stamp(moment).encode()
            self._messages += 1
            number = f"{self._citizens.seed}.{self._messages}".encode()
            event = b"R01" if not self._faults or chance() >= self._faults else b"R99"
            values = [now, event, number, self._person(), number, number, number, number]
            values += [pool[int(chance() * _VALUES)] for pool in pools]
            yield b"".join([each for pair in zip(pieces, values, strict=False) for each in pair]) + pieces[-1]

    def _pieces(self, moment: dt.datetime) -> list[bytes]:
        """Return what stands between the places of a message: all that is the same for a second."""
        head = msh("LABKA", f"ORU^{_PLACE}^ORU_R01", f"{self._prefix}{_PLACE}", _PLACE, self._charset)
        text = f"{head}\r{_PLACE}\r{_body(stamp(moment - dt.timedelta(hours=2)), self._prefix)}"
        return [piece.encode(self._charset) for piece in text.split(_PLACE)]

    def _person(self) -> bytes:
        citizen = self._citizens.one()
        known = self._persons.get(citizen.number)
        if known is None:
            known = self._persons[citizen.number] = _person(citizen).encode(self._charset)
        return known


def _person(citizen: Citizen) -> str:
    return f"{pid(citizen)}\rPV1|1|O|AMB^^^OUH"


def _result(analysis: Analysis, draw: random.Random) -> str:
    """Return OBX-5 to OBX-8: mostly inside the reference interval, sometimes out of it, flagged."""
    spread = analysis.high - analysis.low
    value = max(0.0, draw.gauss((analysis.low + analysis.high) / 2, spread / 3))
    flag = "H" if value > analysis.high else "L" if value < analysis.low else "N"
    return (
        f"{value:.{analysis.decimals}f}|{analysis.ucum}^{analysis.unit}^UCUM|{analysis.low:g}-{analysis.high:g}|{flag}"
    )


def _body(taken: str, prefix: str) -> str:
    """Return ORC, OBR and the OBX segments with places for the order numbers and the results."""
    order = f"R{_PLACE}^EPJ|{prefix}{_PLACE}^LABKA"
    doctor = "9HL7X^Læge^Prøve^^^^^^&1.2.208.176.1.3&ISO"
    segments = [
        f"ORC|RE|{order}||CM||||{taken}|||{doctor}",
        f"OBR|1|{order}|KBA15^Almen biokemi, 15 analyser^L|||{taken}|||||||{taken}|B&Blod&L|{doctor}||||||{taken}||LAB|F",
        "NTE|1|L|Prøven er taget på prøvetagningsafdelingen, fastende, stillet lodret og centrifugeret inden to timer.",
    ]
    for index, analysis in enumerate(PANEL):
        segments.append(
            f"OBX|{index + 1}|NM|{analysis.code}^{analysis.name}^NPU||{_PLACE}|||F|||{taken}|"
            "KBA^Klinisk Biokemisk Afdeling^L||||||||Prøvesygehuset^D^^^^SOR&1.2.208.176.1.1&ISO^XX^^^265161000016000"
        )
    segments.append("NTE|1|L|Svaret er godkendt automatisk. Ring til laboratoriet ved tvivl om præanalytiske forhold.")
    return "\r".join(segments) + "\r"
