"""How far our translation agrees with what other converters print for the same HL7 v2 messages.

A measure, not a truth: experts differ. Rules of comparison (README of the adapter, "Agreement"): never byte by byte;
ids, references, provenance and the peer's private extensions are left out; what is compared is recall, the share of the
peer's (path, value) pairs that ours has too, on the paths listed here, after the allow-list below.

`python -m tests.feeds.agreement` prints the table.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.model import Translation
from tests.feeds import hospital

SOURCES = {
    "microsoft-fhir-converter": "hl7v2/*.expected.json",
    "cdc-prime-reportstream": "**/*.expected.fhir.json",
    "cdc-trusted-intermediary": "**/*.expected.fhir.json",
}
TYPES = ("ADT", "ORU")

PATIENT = (
    "identifier.value",
    "name.family",
    "name.given",
    "name.prefix",
    "name.suffix",
    "birthDate",
    "gender",
    "address.line",
    "address.city",
    "address.state",
    "address.postalCode",
    "address.country",
    "telecom.value",
    "multipleBirthInteger",
    "deceasedDateTime",
)
OBSERVATION = (
    "code.coding.code",
    "valueQuantity.value",
    "valueQuantity.code",
    "valueQuantity.unit",
    "valueQuantity.comparator",
    "valueString",
    "valueCodeableConcept.coding.code",
    "valueDateTime",
    "valueRange.low.value",
    "valueRange.high.value",
    "status",
    "effectiveDateTime",
    "interpretation.coding.code",
    "referenceRange.text",
)
REPORT = ("identifier.value", "code.coding.code", "status", "effectiveDateTime", "issued")
PATHS = {"Patient": PATIENT, "Observation": OBSERVATION, "DiagnosticReport": REPORT}


@dataclass
class Score:
    """Pairs that the peer has, and those of them that ours has too."""

    expected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    messages: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)

    def recall(self, prefix: str = "") -> float:
        """Return the share found of the elements whose name starts with `prefix`, from 0 to 1."""
        wanted = sum(count for name, count in self.expected.items() if name.startswith(prefix))
        return sum(count for name, count in self.found.items() if name.startswith(prefix)) / wanted if wanted else 1.0


def leaves(resource: Any, path: str) -> Iterator[str]:
    """Yield the values at a dotted path, whatever is a list on the way."""
    name, _, rest = path.partition(".")
    here = resource.get(name) if isinstance(resource, dict) else None
    for each in here if isinstance(here, list) else [here]:
        if each is None:
            continue
        if rest:
            yield from leaves(each, rest)
        else:
            yield plain(each)


def plain(value: Any) -> str:
    """Write a value so that equal ones look equal: numbers by amount, instants in UTC, words without double blanks."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(Decimal(value).normalize())
    text = str(value)
    moment = hospital.utc(text)
    if moment:
        return moment
    return re.sub(r"\s+", " ", text).strip().lower()


def pairs(resources: list[dict[str, Any]], kind: str) -> Counter[tuple[str, str]]:
    """Return the (path, value) pairs of all resources of a type; those of an Observation stand under its first code."""
    found: Counter[tuple[str, str]] = Counter()
    for resource in resources:
        if resource.get("resourceType") != kind:
            continue
        key = next(leaves(resource, "code.coding.code"), "") if kind == "Observation" else ""
        for path in PATHS[kind]:
            for value in leaves(resource, path):
                if value and value != '""':
                    once = path == "identifier.value"  # the same number under two types is one number
                    found[f"{key} {path}".strip(), value] = 1 if once else found[f"{key} {path}".strip(), value] + 1
    return found


def ours(done: Translation) -> list[dict[str, Any]]:
    """Return our resources; a component stands as the Observation that it was when it came."""
    found = []
    for change in done.changes:
        resource = change.resource
        found.append(resource)
        found += [{**resource, **component, "component": []} for component in resource.get("component", ())]
    return found


def compare(expected: list[dict[str, Any]], done: Translation, message: bytes, score: Score, name: str) -> None:
    mine = ours(done)
    expected = [own_names(resource, of_patient(message), score) for resource in expected]
    for kind in PATHS:
        want, have = pairs(expected, kind), pairs(mine, kind)
        for (path, value), count in want.items():
            short = path.rpartition(" ")[2]
            why = allowed(kind, path, value, message) if not have[path, value] else ""
            if why:
                score.allowed[why] += count
                continue
            element = f"{kind}.{short}"
            got = min(count, sum((have & Counter({(path, value): count})).values()))
            score.expected[element] += count
            score.found[element] += got
            if got < count:
                score.missed.append((name, f"{kind} {path}", value))


UTC = hospital.context(timezone="UTC")
"""The peers print times without a zone as UTC; only here we do the same."""


SILENT_STATUS = frozenset("RSIONUBV")
"""OBX-11 codes for which the official map has no row: ours are in mappings/hl7v2/0085-result-status.csv."""
OTHER_SUBJECTS = frozenset({"coroner", "autopsy", "death-certificate", "injury-incident"})
"""Observations that Microsoft's templates make of PDA and ACC segments, which we do not map."""


def allowed(kind: str, path: str, value: str, message: bytes) -> str:
    """Return why a difference is none, '' when it counts."""
    element = path.rpartition(" ")[2]
    if kind == "Patient" and element.split(".")[0] in ("identifier", "name") and value not in of_patient(message):
        return "taken from an insurance, guarantor or disability segment (IN1, IN2, GT1, DB1), not from the patient"
    if kind == "Observation" and path.split(" ", maxsplit=1)[0] in OTHER_SUBJECTS:
        return "made of a PDA or ACC segment"
    if (
        element == "status"
        and value == "unknown"
        and SILENT_STATUS & set(re.findall(r"(?:^|[\r\n])OBX(?:\|[^|\r\n]*){10}\|([A-Z])", message.decode("latin-1")))
    ):
        return "OBX-11 has a code that the official table leaves without a map"
    if element == "valueQuantity.code" and value in ("beats/min", "1"):
        return "the sender's text as a UCUM code; a missing unit as the unit one"
    if element == "valueString" and "\\.br\\" in value:
        return "escape sequences left as they came"
    if element == "issued" and len(value) < len("2023-08-15T"):
        return "an instant without a time of day is not valid FHIR"
    if element.startswith("valueQuantity") and b"|SN|" in message and b"|>^1^.^3|" in message:
        return "an SN with an unknown separator read as a plain number"
    return ""


def own_names(resource: dict[str, Any], patient: str, score: Score) -> dict[str, Any]:
    """Leave out of an expected Patient the names of somebody else: Microsoft's templates add the subscriber of IN1-16."""
    if resource.get("resourceType") != "Patient":
        return resource
    names = [name for name in resource.get("name", []) if str(name.get("family", "")).lower() in patient]
    score.allowed["the name of a subscriber (IN1) as the patient's"] += len(resource.get("name", [])) - len(names)
    return {**resource, "name": names}


def of_patient(message: bytes) -> str:
    """Return the text of the segments that speak of the patient, in lower case."""
    lines = re.split(r"[\r\n]+", message.decode("utf-8", "replace"))
    return "\n".join(line for line in lines if line[:3] in ("PID", "PD1", "MRG")).lower()


def run(source: str, folder: Path) -> Score:
    """Compare every message of a source that has expected output and is of a type that we take."""
    score = Score()
    for path in sorted(folder.glob(SOURCES[source])):
        stem = re.sub(r"(\.[A-Z0-9]+_[A-Z0-9]+)?\.expected(\.fhir)?\.json$", "", path.name)
        message = next(
            (
                each
                for each in sorted(path.parent.glob(f"{stem}*.hl7"))
                if each.name in (f"{stem}.hl7", f"{stem}_0_initial_message.hl7")
            ),
            path,
        )
        if message is path:
            score.refused["no message beside it"] += 1
            continue
        done = hospital.translate(hospital.with_patient_number(message.read_bytes()), UTC)
        if done.message_type.split("^")[0] not in TYPES:
            continue
        if not done.changes:
            score.refused[done.reasons[0].code.value] += 1
            continue
        score.messages += 1
        bundle = json.loads(path.read_text("utf-8-sig"), parse_float=Decimal)
        expected = [entry["resource"] for entry in bundle["entry"]]
        compare(expected, done, message.read_bytes(), score, message.name)
    return score


def table(scores: dict[str, Score]) -> str:
    lines = []
    for source, score in scores.items():
        total, found = sum(score.expected.values()), sum(score.found.values())
        share = 100 * found / total if total else 0
        lines.append(
            f"{source}: {score.messages} messages, refused {dict(score.refused)}, {found} of {total} pairs = {share:.1f} %"
        )
        lines += [
            f"    {name:48} {score.found[name]:6} of {wanted:6} {100 * score.found[name] / wanted:6.1f} %"
            for name, wanted in sorted(score.expected.items())
        ]
        lines += [f"    allowed {count:5}: {why}" for why, count in score.allowed.most_common()]
    return "\n".join(lines)


def main() -> None:
    import sys

    scores = {source: run(source, hospital.corpus(source)) for source in SOURCES}
    print(table(scores))
    if len(sys.argv) > 1:
        for source, score in scores.items():
            for missed in score.missed:
                print(source, *missed, sep=" | ")


if __name__ == "__main__":
    main()
