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
    beyond_reach,
    decide,
    may_state,
    open_to,
)
from gateway.access.policy import Policy
from gateway.access.rules import Rule
from gateway.access.sight import Sight, opens

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
    "Policy",
    "Purpose",
    "Read",
    "Rule",
    "Search",
    "Sight",
    "TypeHistory",
    "Update",
    "VersionRead",
    "Why",
    "Writing",
    "beyond_reach",
    "decide",
    "may_state",
    "open_to",
    "opens",
]
