"""The municipal feed's door as $process-message sees it: the intake of `POST /ingest/<feed>`, and a wait for the outcome."""

from __future__ import annotations

from gateway.access import Actor
from gateway.receive import outcomes
from gateway.receive.http import DOOR
from gateway.receive.intake import Intake
from gateway.receive.outcomes import Ask
from gateway.receive.receipts import address
from gateway.serve.operations.process_message import Deliver, Delivered
from gateway.store.port import MessageState

WAIT_SECONDS = 20.0
_JSON = "application/fhir+json"


def door(intake: Intake, ask: Ask, *, feed: str, seconds: float = WAIT_SECONDS) -> Deliver:
    """Return the door of a feed that takes FHIR messages. Waits at most `seconds` for a message's outcome."""

    async def deliver(actor: Actor, body: bytes, wait: bool) -> Delivered:
        [receipt] = await intake.take(feed, body, _JSON, door=DOOR, sender=actor.client)
        if receipt.refused:
            return Delivered("", decided=True, reasons=receipt.reasons)
        status = address(feed, receipt.receipt)
        row = await outcomes.decided(ask, receipt.receipt, seconds) if wait else None
        if row is None:
            return Delivered(status)
        reasons = row.reasons if row.state is MessageState.REJECTED else ()
        return Delivered(status, decided=True, reply=row.reply, reasons=reasons)

    return deliver
