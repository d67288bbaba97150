"""What a feed's file and the mapping tables say, made ready for look-ups: once per feed and process.

It also keeps what many messages of a feed repeat (codes, times, laboratories), so that the thousandth glucose costs one
look-up. Nothing in these caches names a patient.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from adapters.hospital_hl7v2 import times
from gateway.formats import er7
from gateway.model import Feed, Resource
from gateway.terminology.context import Context
from gateway.terminology.tables import Row, Tables

CPR: Final = "urn:oid:1.2.208.176.1.2"
X_ECPR: Final = "urn:oid:1.2.208.176.1.6.1.1"
D_ECPR: Final = "urn:oid:1.2.208.176.1.6.1.3"
"""General system of regional replacement numbers; a region's own is this with its number behind."""
SOR: Final = "urn:oid:1.2.208.176.1.1"
"""The register of health care organisations."""

_CACHE_SIZE_MAX: Final = 20_000
_SYNTAXES_MAX: Final = 16
K = TypeVar("K")
V = TypeVar("V")
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*)){2,}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NAME_OF_HL7_TABLE = re.compile(r"HL7-?(?P<table>\d{4})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a code of a v2 table becomes: target code, system, display, and the official row it comes from."""

    code: str
    system: str
    display: str
    row: str


class Naming:
    """How a feed names systems: its own `[systems]`, universal ids, local names. No table: a door has it too."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.systems = {name.upper(): uri for name, uri in feed.systems.items()}
        self.person_systems: tuple[str, ...] = tuple(feed.options.get("person_systems", (CPR, X_ECPR)))
        self.d_ecpr_system: str = feed.options.get("d_ecpr_system", D_ECPR)
        self.national_number_system: str = feed.options.get("national_number_system", "http://hl7.org/fhir/sid/us-ssn")

    def identifier_system(self, authority: er7.Part) -> str:
        """Return the URI of an assigning authority (HD), '' when nothing is said. Never invents a public name.

        The feed's own names first, then a universal id of a known type, then `urn:id:<feed>:<namespace>`.
        """
        namespace, universal, kind = authority.at(1), authority.at(2), authority.at(3).upper()
        for name in (namespace, universal):
            if name and name.upper() in self.systems:
                return self.systems[name.upper()]
        return universal_uri(universal, kind) or self.local(namespace or universal)

    def local(self, name: str) -> str:
        """Return this feed's own name for a system that has no public one; '' for no name."""
        return f"urn:id:{self.feed.name}:{_urn_part(name)}" if name else ""


Mentions = tuple[tuple[str, Resource], ...]
"""What a field mentions beside its own value: reference and resource, in the order in which they were mentioned."""


@dataclass(slots=True)
class Memory:
    """What texts of one syntax meant before. Values are shared by messages: nobody changes them."""

    concepts: dict[tuple[str, str], Resource] = field(default_factory=dict)
    moments: dict[str, times.Moment | None] = field(default_factory=dict)
    unit_codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    code_keys: dict[str, str] = field(default_factory=dict)
    meanings: dict[str, Any] = field(default_factory=dict)
    numbers: dict[tuple[str, str], Any] = field(default_factory=dict)
    entities: dict[tuple[str, str, str], Resource] = field(default_factory=dict)
    references: dict[tuple[str, str], tuple[Resource, Mentions]] = field(default_factory=dict)
    fields: dict[tuple[object, str], tuple[Any, Mentions]] = field(default_factory=dict)


class Setup:
    """One feed's settings and tables as look-ups. Shared by all its messages; single-threaded by design."""

    def __init__(self, feed: Feed, tables: Tables) -> None:
        self.feed = feed
        self.tables = tables
        self.zone = ZoneInfo(feed.timezone)
        options: Mapping[str, Any] = feed.options
        self.naming = Naming(feed)
        self.decimal_comma: bool = bool(options.get("decimal_comma", False))
        self.given_split: bool = bool(options.get("given_split", False))
        self.category: str = options.get("observation_category", "laboratory")
        self.severity_is_criticality: bool = bool(options.get("allergy_severity_is_criticality", False))
        self.diagnosis_date_is_onset: bool = bool(options.get("diagnosis_date_is_onset", False))
        self.facilities = {name.upper(): str(number) for name, number in options.get("facilities", {}).items()}
        self.own_codes: Mapping[str, Mapping[str, str]] = options.get("codes", {})
        self.authorities = _two(tables, "hl7v2/naming-systems", "name", "system") | self.naming.systems
        self.coding = _two(tables, "hl7v2/0396-coding-systems", "name", "system") | self.naming.systems
        self.units = _units(tables, options.get("units", {}))
        self.vital_units = {row["loinc"]: row["ucum"].split() for row in tables.rows("hl7v2/vital-signs")}
        self.mdc_loinc = {row["mdc"]: row["loinc"] for row in tables.rows("hl7v2/mdc-loinc")}
        self.kept = _kept(tables)
        events = tables.rows("hl7v2/0003-encounter-status")
        self.events = {row["code"]: row["to"] for row in events}
        self.event_rows = {row["code"]: row["row"] for row in events}
        self._maps: dict[str, dict[str, Mapped]] = {}
        self._memories: dict[er7.Syntax, Memory] = {}
        self._syntax: er7.Syntax | None = None
        self.memory = Memory()

    def speak(self, syntax: er7.Syntax) -> None:
        """Take up the memory of a message's separators and codec: the same text means another thing under others."""
        if syntax is self._syntax:
            return
        if len(self._memories) >= _SYNTAXES_MAX:
            self._memories.clear()
        self._syntax = syntax
        self.memory = self._memories.setdefault(syntax, Memory())

    def map(self, table: str, code: str) -> Mapped | None:
        """Return what `code` of `hl7v2/<table>-…` becomes; the feed's own codes (`[options.codes.0001]`) come first."""
        known = self._maps.get(table)
        if known is None:
            known = self._maps[table] = self._read_map(table)
        return known.get(code) or known.get(code.upper())

    def _read_map(self, table: str) -> dict[str, Mapped]:
        name = next(name for name in self.tables.names() if name.startswith(f"hl7v2/{table}"))
        rows: Sequence[Row] = self.tables.rows(name)
        known = {row["code"]: Mapped(row["to"], row["system"], row["display"], row["row"]) for row in rows}
        by_target = {mapped.code: mapped for mapped in known.values()}
        for code, target in self.own_codes.get(table[:4], {}).items():
            meant = by_target.get(target)
            system, display = (meant.system, meant.display) if meant else (rows[0]["system"], "")
            known[code] = Mapped(target, system, display, "")
        return known

    def moment(self, text: str) -> times.Moment | None:
        """Return the moment that a raw DTM states on this feed's wall clock, None when it is none."""
        moments = self.memory.moments
        try:
            return moments[text]
        except KeyError:
            return keep(moments, text, times.read(text, self.zone))

    def remember(self, key: tuple[str, str], concept: Resource) -> Resource:
        """Keep a concept for the next message that says the same."""
        return keep(self.memory.concepts, key, concept)

    def code_key(self, segment: er7.Segment, number: int) -> str:
        """Return what a CWE is told apart by: its coding system and code, its words where it has no code."""
        raw = segment.first(number)
        known = self.memory.code_keys.get(raw)
        if known is None:
            part = segment.field(number)
            known = keep(self.memory.code_keys, raw, f"{part.at(3)}|{part.at(1) or part.at(2) or part.at(4)}")
        return known

    def identifier_system(self, authority: er7.Part) -> str:
        """Return the URI of an assigning authority that is not of patients: public names of the table count as well."""
        name = authority.at(1).upper() or authority.at(2).upper()
        return self.authorities.get(name) or self.naming.identifier_system(authority)

    def local(self, name: str) -> str:
        """Return this feed's own name for a system that has no public one; '' for no name."""
        return self.naming.local(name)

    def coding_system(self, name: str, table: str) -> str:
        """Return the URI of a coding system name (table 0396), of the field's own v2 table when none is stated."""
        if not name:
            return self.local(f"v2-{table}") if table else self.local("codes")
        known = self.coding.get(name.upper())
        if known:
            return known
        official = _NAME_OF_HL7_TABLE.fullmatch(name)
        if official:
            return f"http://terminology.hl7.org/CodeSystem/v2-{official['table']}"
        return universal_uri(name, "") or self.local(f"codes:{name}")


def keep(cache: dict[K, V], key: K, value: V) -> V:
    """Put into a cache, which is emptied when it is full; return the value."""
    if len(cache) >= _CACHE_SIZE_MAX:
        cache.clear()
    cache[key] = value
    return value


def universal_uri(identifier: str, kind: str) -> str:
    """Return the URI of a universal id (HD-2) of type `kind` (HD-3, table 0301), '' when it has none."""
    if not identifier:
        return ""
    if _OID.fullmatch(identifier):
        return f"urn:oid:{identifier}"
    if kind in {"UUID", "GUID"} or _UUID.fullmatch(identifier):
        return f"urn:uuid:{identifier.lower()}" if _UUID.fullmatch(identifier) else ""
    if identifier.startswith(("http://", "https://", "urn:")) and " " not in identifier:
        return identifier
    if kind == "DNS" and " " not in identifier:
        return f"http://{identifier}"
    return ""


def _urn_part(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._:-]+", "-", name).strip("-") or "unnamed"


def _two(tables: Tables, name: str, key: str, value: str) -> dict[str, str]:
    return {row[key].upper(): row[value] for row in tables.rows(name)}


def _kept(tables: Tables) -> dict[str, dict[str, str]]:
    kept: dict[str, dict[str, str]] = {}
    for row in tables.rows("hl7v2/kept-tables"):
        kept.setdefault(row["table"], {})[row["code"]] = row["display"]
    return kept


def _units(tables: Tables, own: Mapping[str, str]) -> dict[str, str]:
    rows = [(row["unit"], row["ucum"]) for row in tables.rows("hl7v2/units")]
    units = {squeeze(unit): ucum for unit, ucum in reversed(rows)}
    units.update(rows)
    units.update({squeeze(unit): ucum for unit, ucum in own.items()})
    units.update(own)
    return units


def squeeze(unit: str) -> str:
    """Return a unit without blanks, for the second look-up. Case is kept: `G/L` is not `g/L`."""
    return re.sub(r"\s+", "", unit)


_SETUPS_MAX: Final = 64
_NAMINGS: dict[int, Naming] = {}


def naming_of(feed: Feed) -> Naming:
    """Return how a feed names systems, kept with the feed."""
    kept = _NAMINGS.get(id(feed))
    if kept is not None and kept.feed is feed:
        return kept
    if len(_NAMINGS) >= _SETUPS_MAX:
        _NAMINGS.clear()
    made = _NAMINGS[id(feed)] = Naming(feed)
    return made


_SETUPS: dict[int, tuple[Context, Setup]] = {}


def setup_of(context: Context) -> Setup:
    """Return the setup of a feed, made at its first message and kept with its context."""
    kept = _SETUPS.get(id(context))
    if kept is not None and kept[0] is context:
        return kept[1]
    if len(_SETUPS) >= _SETUPS_MAX:
        _SETUPS.clear()
    made = Setup(context.feed, context.tables)
    _SETUPS[id(context)] = (context, made)
    return made
