"""What an adapter is given beside the raw message: its feed, the id maker, the tables."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.fhir.ids import Ids
from gateway.model import Feed
from gateway.terminology.tables import Tables


@dataclass(frozen=True, slots=True)
class Context:
    """One per feed and process; shared by every message of the feed."""

    feed: Feed
    ids: Ids
    tables: Tables
