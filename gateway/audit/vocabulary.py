"""The closed list of audit events. docs/reference/audit.md is made from it."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Event(enum.StrEnum):
    """What was done, or tried: the status of a record says which, and `why` why it was refused."""

    READ = "read"
    VREAD = "vread"
    HISTORY = "history"
    SEARCH = "search"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    BUNDLE = "bundle"
    OPERATION = "operation"
    INTENDED = "intended"
    POSTED = "posted"
    PRUNED = "pruned"
    ERASED = "erased"


class Meaning(NamedTuple):
    """What an event is in FHIR R4 AuditEvent, and in words."""

    action: str
    """audit-event-action: C, R, U, D, E."""
    subtype: str
    """Code of http://hl7.org/fhir/restful-interaction; '' where it is none."""
    text: str


MEANINGS: dict[Event, Meaning] = {
    Event.READ: Meaning("R", "read", "the current version of a resource was asked for"),
    Event.VREAD: Meaning("R", "vread", "one version of a resource was asked for"),
    Event.HISTORY: Meaning("R", "history", "the versions of a resource, a type or all were asked for"),
    Event.SEARCH: Meaning("E", "search", "resources were searched for"),
    Event.CREATE: Meaning("C", "create", "a resource was created"),
    Event.UPDATE: Meaning("U", "update", "a resource was written whole"),
    Event.PATCH: Meaning("U", "patch", "some elements of a resource were changed"),
    Event.DELETE: Meaning("D", "delete", "a resource was deleted"),
    Event.BUNDLE: Meaning("E", "batch", "a batch or transaction; `entries` says what was in it"),
    Event.OPERATION: Meaning("E", "operation", "an operation; `code` says which"),
    Event.INTENDED: Meaning("E", "operation", "a change is about to be tried; another record says how it ended"),
    Event.POSTED: Meaning("C", "", "messages were posted to a feed"),
    Event.PRUNED: Meaning("D", "", "records of the ledger were deleted because their time is over"),
    Event.ERASED: Meaning("D", "", "what is personal was erased in records of the ledger"),
}
