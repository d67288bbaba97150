"""Rows that belong together: blood pressure, lines of a text report, results of an organism.

Rules that no official table shows. Sources: FHIR R4 blood pressure profile; HL7 v2.9 §7.2 (OBX-4), §7.4.1.26 (OBR-26).
"""

from __future__ import annotations

import base64
from typing import Final

from adapters.hospital_hl7v2 import observation
from adapters.hospital_hl7v2.observation import LOINC, Made
from adapters.hospital_hl7v2.structure import Noted
from adapters.hospital_hl7v2.work import Work, place
from gateway.formats import er7
from gateway.model import Resource

_SYSTOLIC: Final = "8480-6"
_DIASTOLIC: Final = "8462-4"
_MEAN: Final = "8478-0"
_SAME_AS: Final = {
    "DNK05472": _SYSTOLIC,
    "NPU57947": _SYSTOLIC,
    "MCS88019": _SYSTOLIC,
    "150021": _SYSTOLIC,
    "DNK05473": _DIASTOLIC,
    "NPU57948": _DIASTOLIC,
    "MCS88020": _DIASTOLIC,
    "150022": _DIASTOLIC,
    "150023": _MEAN,
}
"""Danish and ISO/IEEE 11073 codes of the same three measurements."""
_SYSTOLICS: Final = (_SYSTOLIC, *(code for code, same in _SAME_AS.items() if same == _SYSTOLIC))
_PANEL: Final[Resource] = {
    "coding": [{"system": LOINC, "code": "85354-9", "display": "Blood pressure panel with all children optional"}]
}
_COMPONENT_ELEMENTS: Final = ("valueQuantity", "valueString", "dataAbsentReason", "interpretation", "referenceRange")
_UNITED: Final = ("identifier", "note", "performer")
_TEXT_CODES: Final = frozenset({"55113-5", "18748-4", "11502-2", "18725-2", "18727-8", "11529-5", "34109-9", "59776-5"})
_TEXT_SUFFIXES: Final = ("&GDT", "&IMP", "&ADT", "&REC", "&ANT")
_TEXT_TYPES: Final = frozenset({"TX", "FT"})


def _pressure(made: Made) -> str:
    if made.resource is None:
        return ""
    for coding in made.resource["code"].get("coding", []):
        code: str = coding["code"]
        if coding["system"] == LOINC and code in {_SYSTOLIC, _DIASTOLIC, _MEAN}:
            return code
        if code in _SAME_AS:
            return _SAME_AS[code]
    return ""


def blood_pressures(work: Work, rows: list[Made], key: tuple[str, ...]) -> list[Made]:
    """Return the rows with each systolic and diastolic pair (and a mean beside it) made one Observation 85354-9.

    A pair: the same effective time, and the same OBX-4, neighbours in it (`1.0.1.1`, `1.0.1.2`), or neighbouring rows.
    """
    if not any(code in row.noted.obx.line for row in rows for code in _SYSTOLICS):
        return rows
    kinds = [_pressure(row) for row in rows]
    if _SYSTOLIC not in kinds or _DIASTOLIC not in kinds:
        return rows
    used: set[int] = set()
    panels: dict[int, Made] = {}
    for at, kind in enumerate(kinds):
        if kind != _SYSTOLIC:
            continue
        partner = next(
            (
                to
                for to, other in enumerate(kinds)
                if other == _DIASTOLIC and to not in used and _together(rows, at, to)
            ),
            None,
        )
        if partner is None:
            continue
        members = [at, partner]
        members += [
            to for to, other in enumerate(kinds) if other == _MEAN and to not in used and _together(rows, at, to)
        ][:1]
        used |= set(members)
        panels[min(members)] = _panel(work, [rows[member] for member in members], key)
    return [panels.get(at, row) for at, row in enumerate(rows) if at not in used or at in panels]


def _together(rows: list[Made], one: int, two: int) -> bool:
    left, right = rows[one], rows[two]
    assert left.resource is not None
    assert right.resource is not None
    if left.resource.get("effectiveDateTime") != right.resource.get("effectiveDateTime"):
        return False
    first, second = left.noted.obx.at(4), right.noted.obx.at(4)
    if first and second:
        return (
            first == second
            or ("." in first and first.rpartition(".")[0] == second.rpartition(".")[0])
            or abs(one - two) == 1
        )
    return abs(one - two) <= 2  # noqa: PLR2004 - a mean may stand between them


def _panel(work: Work, members: list[Made], key: tuple[str, ...]) -> Made:
    first = members[0].resource
    assert first is not None
    panel: Resource = {
        "resourceType": "Observation",
        "id": work.ids.resource("Observation", *key, "85354-9", members[0].noted.obx.raw(4), first["id"]),
    }
    for element in (
        "status",
        "category",
        "subject",
        "encounter",
        "effectiveDateTime",
        "issued",
        "method",
        "bodySite",
        "device",
        "specimen",
    ):
        if element in first:
            panel[element] = first[element]
    panel["category"] = [observation.category("vital-signs")]
    panel["code"] = _PANEL
    panel["component"] = []
    for member in members:
        resource = member.resource
        assert resource is not None
        loinc = {"system": LOINC, "code": _pressure(member)}
        codings = resource["code"].get("coding", [])
        code = (
            resource["code"]
            if any(c["system"] == LOINC for c in codings)
            else {**resource["code"], "coding": [loinc, *codings]}
        )
        panel["component"].append(
            {"code": code} | {name: resource[name] for name in _COMPONENT_ELEMENTS if name in resource}
        )
        for name in _UNITED:
            panel.setdefault(name, []).extend(
                each for each in resource.get(name, []) if each not in panel.get(name, [])
            )
        if resource["status"] not in {"final", panel["status"]}:
            panel["status"] = resource["status"]
        work.note(f"Observation/{panel['id']}", "component", "blood-pressure-panel", "", place(member.noted.obx, 5))
    reference = f"Observation/{panel['id']}"
    work.note(reference, "code", "blood-pressure-panel", "", place(members[0].noted.obx, 3))
    work.note(reference, "category", "vital-sign-code", "", place(members[0].noted.obx, 3))
    work.members[reference] = [f"Observation/{each.resource['id']}" for each in members if each.resource is not None]
    for name in _UNITED:
        if not panel[name]:
            del panel[name]
    return Made(members[0].noted, panel)


def is_text_report(rows: list[Noted]) -> bool:
    """Tell whether the OBX of one OBR are the lines of a text: all TX or FT, and more than one line or a text's own code."""
    if not rows or any(row.obx.at(2).upper() not in _TEXT_TYPES for row in rows):
        return False
    codes = [row.obx.field(3).raw for row in rows]
    first = rows[0].obx.at(3)
    return (
        len(set(codes)) < len(codes)
        or first in _TEXT_CODES
        or not first
        or any(code.split("^")[0].endswith(_TEXT_SUFFIXES) for code in codes)
    )


def text_report(work: Work, rows: list[Noted], report: Resource) -> None:
    """Add the text to the report: whole as presentedForm, what is marked as impression as conclusion."""
    reference = f"DiagnosticReport/{report['id']}"
    lines = [_lines(row.obx) for row in rows]
    text = "\n".join(lines).strip("\n")
    impression = "\n".join(
        line for row, line in zip(rows, lines, strict=True) if row.obx.field(3).raw.split("^")[0].endswith("&IMP")
    ).strip()
    if text:
        report.setdefault("presentedForm", []).append(
            {"contentType": "text/plain; charset=utf-8", "data": base64.b64encode(text.encode()).decode()}
        )
        work.note(
            reference, "presentedForm", "obx-5-text-report", "", f"{place(rows[0].obx, 5)}…{place(rows[-1].obx, 5)}"
        )
    if impression:
        report["conclusion"] = impression
        marked = next(row.obx for row in rows if row.obx.field(3).raw.split("^")[0].endswith("&IMP"))
        work.note(reference, "conclusion", "obx-5-impression", "", place(marked, 5))


def _lines(obx: er7.Segment) -> str:
    return "\n".join(part.text() for part in obx.repetitions(5))


def join_text_rows(rows: list[Noted]) -> list[Noted]:
    """Return the rows of a mixed report with each run of TX or FT lines of one code and sub-id made one row."""
    joined: list[Noted] = []
    for row in rows:
        last = joined[-1] if joined else None
        if last is not None and _continues(last.obx, row.obx):
            merged = er7.Segment("OBX", "", last.obx.syntax, last.obx.index)
            fields = [*last.obx.fields]
            fields[5] = f"{fields[5]}{last.obx.syntax.repetition}{row.obx.raw(5)}"
            merged.line = last.obx.syntax.field.join(fields)
            joined[-1] = Noted(merged, [*last.notes, *row.notes])
        else:
            joined.append(row)
    return joined


def _continues(last: er7.Segment, row: er7.Segment) -> bool:
    return (
        row.at(2).upper() in _TEXT_TYPES
        and last.at(2).upper() in _TEXT_TYPES
        and bool(row.raw(3))
        and (row.raw(3), row.raw(4), row.raw(11)) == (last.raw(3), last.raw(4), last.raw(11))
        and not row.has(21)
    )
