"""`sundbro token`: bearer tokens of the local issuer, for development."""

from __future__ import annotations

import sys

from gateway.app.feeds import id_secret
from gateway.fhir.ids import Ids
from gateway.identity.local import LocalIssuer, listed
from gateway.settings import Settings


def mint(settings: Settings, name: str, scopes: list[str]) -> str:
    """Return a token for somebody of the local issuer, `all` when nobody is named."""
    issuer = LocalIssuer.open(settings, ids=Ids(id_secret(settings)))
    return issuer.token_of(name or "all", [scope for text in scopes for scope in text.split()])


def print_token(settings: Settings, name: str, scopes: list[str], *, listing: bool) -> None:
    """Print a token, or who there is."""
    if listing:
        known = listed()
        width = max(map(len, known)) + 2
        for one, text in known.items():
            sys.stdout.write(f"{one:{width}}{text}\n")
        return
    sys.stdout.write(mint(settings, name, scopes) + "\n")
