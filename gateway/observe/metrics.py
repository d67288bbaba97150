"""Prometheus metrics: one closed list, each with advice for whoever is woken by it. Fed by observations only.

Several processes of one gateway share their numbers through files (prometheus_client's multiprocess mode): `prepare`
must run before any of them imports this module's registry. No label ever holds a person, a receipt or a URL.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.observe import events

if TYPE_CHECKING:
    from prometheus_client.metrics import MetricWrapperBase

DURATIONS = tuple(round(0.0005 * 1.5**step, 5) for step in range(30))
"""Buckets from half a millisecond to a minute, each half again as wide: a percentile is right within a quarter."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: kind, labels, what it counts and what to do about it."""

    kind: str
    name: str
    labels: tuple[str, ...]
    meaning: str
    advice: str


METRICS = (
    Metric(
        "counter",
        "sundbro_messages_received_total",
        ("feed", "door"),
        "messages durable on raw.<feed>",
        "a feed that falls silent: call its sender",
    ),
    Metric("counter", "sundbro_bytes_received_total", ("feed", "door"), "bytes of those messages", "sizes the log"),
    Metric(
        "counter",
        "sundbro_messages_refused_total",
        ("feed", "door", "code"),
        "messages a door did not take",
        "429 and 503: we are too slow; others: the sender's fault",
    ),
    Metric(
        "histogram",
        "sundbro_durable_seconds",
        ("feed", "door"),
        "last byte in to durable (the ACK's wait)",
        "p99 over 0.03: the log's disk is slow",
    ),
    Metric(
        "counter",
        "sundbro_messages_translated_total",
        ("feed",),
        "messages through an adapter",
        "compare with received",
    ),
    Metric(
        "histogram",
        "sundbro_translate_seconds",
        ("feed",),
        "one message through adapter, validation and indexing",
        "a step up after a deployment: profile the adapter",
    ),
    Metric("counter", "sundbro_messages_stored_total", ("feed",), "messages committed", "compare with received"),
    Metric(
        "histogram",
        "sundbro_visible_seconds",
        ("feed",),
        "reception to searchable",
        "p95 over 0.3: see lag and batch seconds",
    ),
    Metric("counter", "sundbro_versions_total", ("feed",), "resource versions made", "growth of the store"),
    Metric(
        "counter",
        "sundbro_writes_unchanged_total",
        ("feed",),
        "writes whose content was there already",
        "a sender repeats itself",
    ),
    Metric(
        "counter",
        "sundbro_writes_late_total",
        ("feed",),
        "writes older than what is stored",
        "a sender's queue is out of order",
    ),
    Metric(
        "counter",
        "sundbro_messages_rejected_total",
        ("feed", "code"),
        "messages or readings rejected, by reason",
        "sundbro rejected FEED shows them",
    ),
    Metric(
        "counter",
        "sundbro_messages_duplicate_total",
        ("feed",),
        "messages seen before",
        "lost ACKs: look at the network",
    ),
    Metric(
        "counter",
        "sundbro_control_ids_reused_total",
        ("feed",),
        "another message under a known number",
        "the sender's counter restarted",
    ),
    Metric(
        "counter", "sundbro_notices_total", ("feed", "code"), "oddities that did not stop a message", "tell the sender"
    ),
    Metric(
        "counter",
        "sundbro_feeds_stopped_total",
        ("feed",),
        "times a feed was stopped by its rejection limit",
        "someone deployed something: repair, then sundbro feeds --resume",
    ),
    Metric(
        "histogram",
        "sundbro_batch_seconds",
        (),
        "one transaction of a translator",
        "over 0.2: PostgreSQL is the bottleneck",
    ),
    Metric("counter", "sundbro_published_total", ("topic",), "versions on fhir.<Type>", "compare with versions"),
    Metric(
        "gauge",
        "sundbro_publish_lag_seconds",
        (),
        "commit to published, of the last batch's oldest",
        "the backbone is slow",
    ),
    Metric(
        "gauge",
        "sundbro_waiting_messages",
        ("feed",),
        "messages received and not yet applied",
        "growing: more translators",
    ),
    Metric("gauge", "sundbro_lag_seconds", ("feed",), "age of the oldest message that waits", "the number to page on"),
    Metric(
        "histogram",
        "sundbro_request_seconds",
        ("interaction", "type", "status"),
        "API requests",
        "p95 over 0.15 for reads",
    ),
    Metric(
        "counter",
        "sundbro_access_refused_total",
        ("interaction", "why"),
        "requests without token or right",
        "a client is misconfigured, or someone tries doors",
    ),
    Metric(
        "gauge",
        "sundbro_connections",
        ("door", "feed"),
        "open sender connections",
        "zero on a feed that should be there",
    ),
    Metric(
        "counter",
        "sundbro_bytes_discarded_total",
        ("door", "feed"),
        "bytes outside MLLP frames",
        "a sender's framing is broken",
    ),
    Metric(
        "counter", "sundbro_unavailable_total", ("part",), "times a part did not answer", "database, broker or disk"
    ),
    Metric(
        "counter",
        "sundbro_fenced_total",
        ("topic",),
        "partitions taken over by another worker",
        "a worker was paused or slow",
    ),
    Metric(
        "counter", "sundbro_crashes_total", ("role",), "bugs: roles that crashed and were started again", "report it"
    ),
    Metric(
        "counter",
        "sundbro_files_taken_total",
        ("feed", "outcome"),
        "files of the watched folder",
        "failed: see failed/*.problem.json",
    ),
)


def prepare(folder: Path, *, fresh: bool) -> None:
    """Share numbers between processes through files in `folder`; `fresh` empties it (the first process at start)."""
    if fresh and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


class Metrics:
    """Listens to observations and counts. One per process."""

    def __init__(self) -> None:
        import prometheus_client  # noqa: PLC0415  after prepare(): the library reads its environment when imported

        self._registry = prometheus_client.CollectorRegistry()
        self._by_name: dict[str, MetricWrapperBase] = {}
        for metric in METRICS:
            common: dict[str, Any] = {"labelnames": metric.labels, "registry": self._registry}
            if metric.kind == "counter":
                made: MetricWrapperBase = prometheus_client.Counter(metric.name, metric.meaning, **common)
            elif metric.kind == "histogram":
                made = prometheus_client.Histogram(metric.name, metric.meaning, buckets=DURATIONS, **common)
            else:
                mode = "livesum" if metric.name == "sundbro_connections" else "livemostrecent"
                made = prometheus_client.Gauge(metric.name, metric.meaning, multiprocess_mode=mode, **common)  # type: ignore[arg-type]
            self._by_name[metric.name] = made
        self._children: dict[tuple[str, ...], Any] = {}
        self._listeners: dict[type[events.Observation], Callable[[Any], None]] = {
            events.MessageReceived: self._received,
            events.MessageRefused: lambda e: self._of("sundbro_messages_refused_total", e.feed, e.door, e.code).inc(),
            events.MessageTranslated: self._translated,
            events.MessageStored: self._stored,
            events.MessageRejected: self._rejected,
            events.MessageDuplicate: lambda e: self._of("sundbro_messages_duplicate_total", e.feed).inc(),
            events.ControlIdReused: lambda e: self._of("sundbro_control_ids_reused_total", e.feed).inc(),
            events.MessageNoticed: lambda e: self._of("sundbro_notices_total", e.feed, e.code).inc(),
            events.FeedStopped: lambda e: self._of("sundbro_feeds_stopped_total", e.feed).inc(),
            events.BatchApplied: lambda e: self._of("sundbro_batch_seconds").observe(e.seconds),
            events.VersionPublished: self._published,
            events.LagMeasured: self._lag,
            events.RequestAnswered: lambda e: self._of(
                "sundbro_request_seconds", e.interaction, e.resource_type, str(e.status)
            ).observe(e.seconds),
            events.AccessRefused: lambda e: self._of("sundbro_access_refused_total", e.interaction, e.why).inc(),
            events.ConnectionOpened: lambda e: self._of("sundbro_connections", e.door, e.feed).inc(),
            events.ConnectionClosed: lambda e: self._of("sundbro_connections", e.door, e.feed).dec(),
            events.BytesDiscarded: lambda e: self._of("sundbro_bytes_discarded_total", e.door, e.feed).inc(e.count),
            events.PartUnavailable: lambda e: self._of("sundbro_unavailable_total", e.part).inc(),
            events.WorkerFenced: lambda e: self._of("sundbro_fenced_total", e.topic).inc(),
            events.RoleCrashed: lambda e: self._of("sundbro_crashes_total", e.role).inc(),
            events.FileTaken: lambda e: self._of("sundbro_files_taken_total", e.feed, e.outcome).inc(),
        }

    def __call__(self, event: events.Observation) -> None:
        """Count one observation; those without a metric are none of our business."""
        listener = self._listeners.get(type(event))
        if listener is not None:
            listener(event)

    def _of(self, name: str, *labels: str) -> Any:
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            metric = self._by_name[name]
            child = self._children[key] = metric.labels(*labels) if labels else metric
        return child

    def _received(self, e: events.MessageReceived) -> None:
        self._of("sundbro_messages_received_total", e.feed, e.door).inc()
        self._of("sundbro_bytes_received_total", e.feed, e.door).inc(e.size_bytes)
        self._of("sundbro_durable_seconds", e.feed, e.door).observe(e.seconds)

    def _translated(self, e: events.MessageTranslated) -> None:
        self._of("sundbro_messages_translated_total", e.feed).inc()
        self._of("sundbro_translate_seconds", e.feed).observe(e.seconds)

    def _stored(self, e: events.MessageStored) -> None:
        self._of("sundbro_messages_stored_total", e.feed).inc()
        self._of("sundbro_visible_seconds", e.feed).observe(e.visible_seconds)
        self._of("sundbro_versions_total", e.feed).inc(e.versions)
        if e.unchanged:
            self._of("sundbro_writes_unchanged_total", e.feed).inc(e.unchanged)
        if e.late:
            self._of("sundbro_writes_late_total", e.feed).inc(e.late)

    def _rejected(self, e: events.MessageRejected) -> None:
        for code in e.codes:
            self._of("sundbro_messages_rejected_total", e.feed, code).inc()

    def _published(self, e: events.VersionPublished) -> None:
        self._of("sundbro_published_total", e.topic).inc(e.count)
        self._of("sundbro_publish_lag_seconds").set(e.lag_seconds)

    def _lag(self, e: events.LagMeasured) -> None:
        self._of("sundbro_waiting_messages", e.feed).set(e.waiting)
        self._of("sundbro_lag_seconds", e.feed).set(e.lag_seconds)


def exposition() -> bytes:
    """Return the text of /metrics: the numbers of every process of this gateway together."""
    import prometheus_client  # noqa: PLC0415
    from prometheus_client import multiprocess  # noqa: PLC0415

    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return prometheus_client.generate_latest(registry)


def percentile(buckets: dict[float, float], share: float) -> float | None:
    """Return the value below which `share` of a histogram lies: `buckets` are upper bound → cumulative count.

    Interpolated inside the bucket; None for an empty histogram.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] == 0:
        return None
    wanted = buckets[bounds[-1]] * share
    below, start = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if bound == float("inf"):
                return start
            return start + (bound - start) * ((wanted - below) / (count - below) if count > below else 1.0)
        below, start = count, bound
    return start
