"""What stands before the parts: who listens to a process, and the database. Light: the rest is imported while it starts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from gateway.errors import Misconfigured
from gateway.observe import events, logs, traces
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedPostgres, running_url


def tell_of(settings: Settings, process: str, *listeners: events.Tell) -> tuple[events.Tell, traces.Traces | None]:
    """Return who listens to this process: logs always, traces where an address is given, and `listeners`."""
    traced: traces.Traces | None = None
    written = logs.Logs(level=settings.log_level, style=settings.log_format, process=process)
    logs.hear_libraries(written)
    heard: list[events.Tell] = [written, *listeners]
    if settings.otlp:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  heavy, rare

        traced = traces.Traces(OTLPSpanExporter(endpoint=settings.otlp), process=process)
        heard.append(traced)
    return logs.fan_out(*heard), traced


@contextlib.asynccontextmanager
async def database(
    settings: Settings, *, tell: events.Tell = events.silent, attach: bool = False
) -> AsyncIterator[str]:
    """Give the address of the database; start the embedded one when none is named.

    `attach` is for commands beside a running gateway: use its database when it runs, else start it for the moment.
    """
    if settings.database_url:
        yield settings.database_url
        return
    if settings.environment == "production":
        raise Misconfigured("SUNDBRO_DATABASE_URL must be given in production: the embedded database has no replica")
    if attach and (running := running_url(settings.data)):
        yield running
        return
    embedded = EmbeddedPostgres(settings.data, tell=tell)
    try:
        yield await embedded.start()
    finally:
        await embedded.stop()
