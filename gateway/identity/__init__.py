"""Who is asking: tokens and the local issuer that makes them in development."""

from gateway.identity.local import ACTORS, LocalIssuer
from gateway.identity.principal import Principal
from gateway.identity.tokens import NotAuthenticated, Verifier

__all__ = ["ACTORS", "LocalIssuer", "NotAuthenticated", "Principal", "Verifier"]
