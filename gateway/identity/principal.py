"""Who a verified token speaks for, as the doors and the API need it. Says nothing of how the token was verified."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from gateway.access import Actor


@dataclass(frozen=True, slots=True)
class Principal:
    """The subject of a verified token, until `expires`. '' is what does not apply."""

    actor: Actor
    issuer: str
    token_id: str
    expires: dt.datetime
    family: str = ""
    """The authorization that the token came of, and ends with."""
    key: str = ""
    """JWK thumbprint that a DPoP proof must be signed with (`cnf.jkt`, RFC 9449)."""
    certificate: str = ""
    """Thumbprint of the client certificate that the connection must have (`cnf.x5t#S256`, RFC 8705)."""

    @property
    def bound(self) -> bool:
        """Whether holding the token is not enough."""
        return bool(self.key or self.certificate)

    def may_post(self, feed: str) -> bool:
        """Say whether it may post messages to this feed: the scope `ingest/<feed>`."""
        return feed in self.actor.feeds
