"""The operations of the API: one file each, with its row and its handler; `operations` puts them together."""

from __future__ import annotations

from typing import Final

from gateway.access import Policy
from gateway.access.policy import DEFAULT
from gateway.clock import Clock
from gateway.serve.operation import Handler, Operation
from gateway.serve.operations import (
    everything,
    expand,
    lastn,
    lookup,
    meta,
    process_message,
    subsumes,
    translate,
    validate_code,
    who_has_seen,
)
from gateway.serve.operations.process_message import Deliver
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.store.port import Store
from gateway.terminology.shelf import Shelf

ROWS: Final = (
    expand.OPERATION,
    lookup.OPERATION,
    subsumes.OPERATION,
    validate_code.IN_VALUE_SET,
    validate_code.IN_CODE_SYSTEM,
    translate.OPERATION,
    everything.OF_PATIENT,
    everything.OF_ENCOUNTER,
    lastn.OPERATION,
    meta.META,
    meta.META_ADD,
    meta.META_DELETE,
    process_message.OPERATION,
    who_has_seen.OPERATION,
)
"""Every operation of this folder (docs/reference/operations.md)."""


def operations(
    store: Store,
    *,
    shelf: Shelf,
    pages: Pages,
    base: str,
    clock: Clock,
    deliver: Deliver | None = None,
    message_feed: str = "municipal",
    policy: Policy = DEFAULT,
) -> list[tuple[Operation, Handler]]:
    """Return every operation of this folder with its handler; $process-message only where there is a door for it.

    `base` is the address of the API, without a slash at its end.
    """
    permitted = PermittedStore(store, clock, policy)
    terminology = StoredTerminology(permitted, shelf)
    of_patient, of_encounter = everything.OF_PATIENT, everything.OF_ENCOUNTER
    found: list[tuple[Operation, Handler]] = [
        (expand.OPERATION, expand.ExpandHandler(permitted, terminology, clock)),
        (lookup.OPERATION, lookup.LookupHandler(terminology)),
        (subsumes.OPERATION, subsumes.SubsumesHandler(permitted, terminology)),
        (validate_code.IN_VALUE_SET, validate_code.ValueSetHandler(permitted, terminology)),
        (validate_code.IN_CODE_SYSTEM, validate_code.CodeSystemHandler(permitted, terminology)),
        (translate.OPERATION, translate.TranslateHandler(permitted, terminology)),
        (of_patient, everything.EverythingHandler(of_patient, permitted, pages, base, clock)),
        (of_encounter, everything.EverythingHandler(of_encounter, permitted, pages, base, clock)),
        (lastn.OPERATION, lastn.LastnHandler(permitted, base, clock)),
        *meta.handlers(permitted),
    ]
    if deliver is not None:
        door = process_message.ProcessMessageHandler(deliver, feed=message_feed)
        found.append((process_message.OPERATION, door))
    return found
