"""Adapters, found by their folders: this file knows that there is a package `adapters`, and no adapter's name."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from gateway.errors import Misconfigured
from gateway.fhir.ids import Ids
from gateway.model import Feed, Piece, RawMessage, Trace, Translation
from gateway.terminology import tables
from gateway.terminology.context import Context

PROJECT = Path(__file__).resolve().parents[2]
ADAPTERS = PROJECT / "adapters"
MAPPINGS = PROJECT / "mappings"


class Adapter(Protocol):
    """What adapters/<format>/translate.py gives (adapters/README.md)."""

    def split(self, body: bytes, content_type: str, feed: Feed) -> list[Piece]:
        """Cut what a sender posted into messages, with a cheap look at each."""
        ...

    def translate(self, raw: RawMessage, context: Context, trace: Trace | None = None) -> Translation:
        """Make resources, or reasons, out of one message. Pure."""
        ...


@dataclass(frozen=True, slots=True)
class Station:
    """A feed with what it takes to work on it."""

    feed: Feed
    adapter: Adapter
    context: Context
    mapping: str
    """Version of adapter code, tables and feed file: the first 12 hex digits of a SHA-256 over them."""


def mapping_version(folder: Path, feed: Feed) -> str:
    """Return the version of what decides about a message: the adapter's code, every mapping table, and the feed as it is."""
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *MAPPINGS.rglob("*.csv")]):
        digest.update(path.relative_to(PROJECT).as_posix().encode())
        digest.update(path.read_bytes())
    digest.update(repr(feed).encode())
    return digest.hexdigest()[:12]


def stations(feeds: Mapping[str, Feed], ids: Ids) -> dict[str, Station]:
    """Return a station per feed. Raises Misconfigured for a feed whose format has no folder."""
    loaded = tables.load(MAPPINGS)
    found: dict[str, Station] = {}
    for name, feed in feeds.items():
        folder = ADAPTERS / feed.format
        if not feed.format.isidentifier() or not (folder / "translate.py").is_file():
            raise Misconfigured(f"feed {name}: there is no adapter for the format {feed.format!r}")
        adapter = cast("Adapter", importlib.import_module(f"adapters.{feed.format}.translate"))
        found[name] = Station(feed, adapter, Context(feed, ids, loaded), mapping_version(folder, feed))
    return found
