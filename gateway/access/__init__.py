"""Who may see what: decide(actor, query) → a narrowed query, or a refusal. Pure."""

from gateway.access.decide import (
    Actor,
    Create,
    Delete,
    History,
    Kind,
    NotPermitted,
    Patch,
    Permitted,
    Read,
    Search,
    Update,
    VersionRead,
    Why,
    Writing,
    decide,
)

__all__ = [
    "Actor",
    "Create",
    "Delete",
    "History",
    "Kind",
    "NotPermitted",
    "Patch",
    "Permitted",
    "Read",
    "Search",
    "Update",
    "VersionRead",
    "Why",
    "Writing",
    "decide",
]
