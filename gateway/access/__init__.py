"""Who may see what: decide(actor, query) → a narrowed query, or a refusal. Pure."""

from gateway.access.actor import Actor, Assurance, Kind, Purpose
from gateway.access.decide import (
    Create,
    Delete,
    History,
    NotPermitted,
    Patch,
    Permitted,
    Read,
    Search,
    TypeHistory,
    Update,
    VersionRead,
    Why,
    Writing,
    decide,
    open_to,
)

__all__ = [
    "Actor",
    "Assurance",
    "Create",
    "Delete",
    "History",
    "Kind",
    "NotPermitted",
    "Patch",
    "Permitted",
    "Purpose",
    "Read",
    "Search",
    "TypeHistory",
    "Update",
    "VersionRead",
    "Why",
    "Writing",
    "decide",
    "open_to",
]
