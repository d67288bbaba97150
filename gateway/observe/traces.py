"""OpenTelemetry traces that follow one message from door to outbox.

A door gives every message a W3C traceparent (the sender's own when it sent one); the record on `raw.<feed>`, the row in
the store and the record on `fhir.<Type>` carry it along. Spans are made here, after the fact, from observations that
carry a sampled traceparent: an unsampled message costs 40 bytes and no span. Attribute names follow the OpenTelemetry
messaging conventions, which are still in development, so they are named in this module only.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from gateway.observe import events

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")


def traceparent(incoming: str, ratio: float) -> str:
    """Return the traceparent of a message: the sender's own when it is valid, else a new one, sampled by `ratio`."""
    if _TRACEPARENT.match(incoming) and "0" * 16 not in incoming:
        return incoming
    sampled = secrets.randbelow(1_000_000) < ratio * 1_000_000
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{'01' if sampled else '00'}"


def sampled(parent: str) -> bool:
    """Return whether spans are wanted for a traceparent."""
    return parent.endswith("-01")


class Traces:
    """Turns observations into spans. `exporter` is any OpenTelemetry SpanExporter; OTLP over HTTP in production."""

    def __init__(self, exporter: Any, *, process: str = "gateway") -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  only where traces are exported
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "sundbro", "service.instance.id": process})
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("sundbro")

    def __call__(self, event: events.Observation) -> None:
        """Make a span of an observation that has a sampled traceparent."""
        parent = getattr(event, "traceparent", "")
        if not sampled(parent):
            return
        if isinstance(event, events.MessageReceived):
            self._span(
                "receive",
                parent,
                event.seconds,
                {"messaging.destination.name": f"raw.{event.feed}", "sundbro.door": event.door},
            )
        elif isinstance(event, events.MessageTranslated):
            self._span(
                "translate",
                parent,
                event.seconds,
                {"sundbro.feed": event.feed, "sundbro.message_type": event.message_type},
            )
        elif isinstance(event, events.MessageStored):
            self._span("store", parent, event.seconds, {"sundbro.feed": event.feed, "sundbro.versions": event.versions})
        elif isinstance(event, events.RecordPublished):
            self._span("publish", parent, event.seconds, {"messaging.destination.name": event.topic})

    def _span(self, name: str, parent: str, seconds: float, attributes: dict[str, Any]) -> None:
        from opentelemetry import trace  # noqa: PLC0415

        found = _TRACEPARENT.match(parent)
        if found is None:
            return
        context = trace.SpanContext(
            int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=trace.TraceFlags(1)
        )
        end = time.time_ns()
        span = self._tracer.start_span(
            name,
            context=trace.set_span_in_context(trace.NonRecordingSpan(context)),
            attributes={"messaging.system": "kafka", **attributes},
            start_time=end - int(seconds * 1e9),
        )
        span.end(end)

    def stop(self) -> None:
        """Export what is left."""
        self._provider.shutdown()
