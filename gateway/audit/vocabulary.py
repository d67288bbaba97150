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
    LOGIN = "login"
    LOGOUT = "logout"
    AUTHORIZE = "authorize"
    TOKEN = "token"  # noqa: S105
    REFRESH = "refresh"
    REVOKE = "revoke"
    LAUNCH = "launch"
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
    Event.LOGIN: Meaning("E", "", "somebody logged in"),
    Event.LOGOUT: Meaning("E", "", "a log-in ended; `code` says how"),
    Event.AUTHORIZE: Meaning("E", "", "a user let an app act for him, or did not"),
    Event.TOKEN: Meaning("E", "", "an access token was asked for"),
    Event.REFRESH: Meaning("E", "", "an access token was asked for with a refresh token"),
    Event.REVOKE: Meaning("E", "", "a client ended a token"),
    Event.LAUNCH: Meaning("E", "", "a health record started an app for what is open in it"),
    Event.PRUNED: Meaning("D", "", "records of the ledger were deleted because their time is over"),
    Event.ERASED: Meaning("D", "", "what is personal was erased in records of the ledger"),
}
OF_IDENTITY = frozenset(
    {Event.LOGIN, Event.LOGOUT, Event.AUTHORIZE, Event.TOKEN, Event.REFRESH, Event.REVOKE, Event.LAUNCH}
)
"""What is done about who somebody is, not about data."""
NO_LOOKS = frozenset({Event.INTENDED, Event.POSTED, Event.PRUNED, Event.ERASED}) | OF_IDENTITY
"""What shows nobody's data to anybody."""
