"""Feeds with their adapters, and the secret of their ids: what `translate` needs, without database or backbone."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import Misconfigured
from gateway.fhir.ids import Ids
from gateway.settings import Settings
from gateway.translate import feeds, registry

SECRET_BYTES = 32


def id_secret(settings: Settings) -> bytes:
    """Return the secret of ids and lanes: the setting, else one kept in the data folder (made at first start).

    Losing it means that new messages make new ids: docs/operations/backup.md says to keep a copy.
    """
    if settings.id_secret:
        try:
            return bytes.fromhex(settings.id_secret)
        except ValueError:
            raise Misconfigured("SUNDBRO_ID_SECRET is not hexadecimal") from None
    if settings.environment == "production":
        raise Misconfigured(
            "SUNDBRO_ID_SECRET must be given in production: a secret in the data folder goes with the machine"
        )
    return kept_secret(settings.data / "keys" / "ids.secret")


def kept_secret(path: Path) -> bytes:
    """Return the secret kept at `path`; make one, readable by the owner only, when there is none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
    return bytes.fromhex(path.read_text().strip())


def stations_of(settings: Settings) -> dict[str, registry.Station]:
    """Return the feeds of these settings with their adapters: all that `translate` needs, and no I/O but reading files."""
    return registry.stations(
        feeds.load(registry.ADAPTERS, settings.feeds, production=settings.environment == "production"),
        Ids(id_secret(settings)),
    )


def station_of(stations: Mapping[str, registry.Station], feed: str) -> registry.Station:
    """Return one feed's station. Raises Misconfigured, naming the feeds there are."""
    if feed not in stations:
        raise Misconfigured(f"there is no feed {feed!r}; there are {', '.join(sorted(stations))}")
    return stations[feed]
