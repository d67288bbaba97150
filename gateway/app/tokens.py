"""`sundbro token`: bearer tokens of the local issuer, for development."""

from __future__ import annotations

import sys

from gateway.identity.local import ACTORS, LocalIssuer
from gateway.settings import Settings


def mint(settings: Settings, name: str, scopes: list[str]) -> str:
    """Return a token for a named actor, `all` when none is named."""
    return LocalIssuer.open(settings).token_of(name or "all", [scope for text in scopes for scope in text.split()])


def print_token(settings: Settings, name: str, scopes: list[str], *, listing: bool) -> None:
    """Print a token, or who there is."""
    if listing:
        for known, actor in ACTORS.items():
            sys.stdout.write(f"{known:15} {actor.text}\n")
        return
    sys.stdout.write(mint(settings, name, scopes) + "\n")
