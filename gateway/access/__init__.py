"""Who may see what: decide(actor, query) → a narrowed query, or a refusal. Pure."""

from gateway.access.decide import (
    Actor,
    History,
    Kind,
    NotPermitted,
    Permitted,
    Read,
    Search,
    TypeHistory,
    VersionRead,
    Why,
    decide,
    open_to,
)

__all__ = [
    "Actor",
    "History",
    "Kind",
    "NotPermitted",
    "Permitted",
    "Read",
    "Search",
    "TypeHistory",
    "VersionRead",
    "Why",
    "decide",
    "open_to",
]
