"""Who a verified token speaks for, as the doors and the API need it. Says nothing of how the token was verified."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from gateway.access import Actor


@dataclass(frozen=True, slots=True)
class Principal:
    """The subject of a verified token, until `expires`."""

    actor: Actor
    issuer: str
    token_id: str
    expires: dt.datetime

    def may_post(self, feed: str) -> bool:
        """Say whether it may post messages to this feed: the scope `ingest/<feed>`."""
        return feed in self.actor.feeds
