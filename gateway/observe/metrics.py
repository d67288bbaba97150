"""Prometheus metrics: one closed list, each with advice for whoever is woken by it. Fed by observations only.

Several processes of one gateway share their numbers through files (prometheus_client's multiprocess mode): `prepare`
must run before any of them imports this module's registry. No label ever holds a person, a receipt or a URL.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.observe import events
from gateway.observe.catalogue import DURATIONS, METRICS

if TYPE_CHECKING:
    from prometheus_client.metrics import MetricWrapperBase


READS_MAX = 5
READ_AGAIN_SECONDS = 0.01


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

        from gateway.observe.durations import Durations  # noqa: PLC0415

        self.registry = prometheus_client.CollectorRegistry()
        self._by_name: dict[str, MetricWrapperBase] = {}
        for metric in METRICS:
            common: dict[str, Any] = {"labelnames": metric.labels, "registry": self.registry}
            if metric.kind == "counter":
                made: MetricWrapperBase = prometheus_client.Counter(metric.name, metric.meaning, **common)
            elif metric.kind == "histogram":
                made = Durations(metric.name, metric.meaning, buckets=DURATIONS, **common)
            else:
                mode = "livesum" if metric.name == "sundbro_connections" else "livemostrecent"
                made = prometheus_client.Gauge(metric.name, metric.meaning, multiprocess_mode=mode, **common)  # type: ignore[arg-type]
            self._by_name[metric.name] = made
        self._children: dict[tuple[str, ...], Any] = {}
        self._lasted: dict[Any, list[float]] = {}
        """Durations of this turn of the event loop, by their histogram: of what happens thousands of times a second."""
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
            events.RequestAnswered: lambda e: self._lasting(
                self._of("sundbro_request_seconds", e.interaction, e.resource_type, str(e.status)), e.seconds
            ),
            events.AccessRefused: lambda e: self._of("sundbro_access_refused_total", e.interaction, e.why).inc(),
            events.LoginRefused: lambda e: self._of("sundbro_access_refused_total", "login", e.fault).inc(),
            events.ConnectionOpened: lambda e: self._of("sundbro_connections", e.door, e.feed).inc(),
            events.ConnectionClosed: lambda e: self._of("sundbro_connections", e.door, e.feed).dec(),
            events.BytesDiscarded: lambda e: self._of("sundbro_bytes_discarded_total", e.door, e.feed).inc(e.count),
            events.PartUnavailable: lambda e: self._of("sundbro_unavailable_total", e.part).inc(),
            events.WorkerFenced: lambda e: self._of("sundbro_fenced_total", e.topic).inc(),
            events.RoleCrashed: lambda e: self._of("sundbro_crashes_total", e.role).inc(),
            events.AuditFailed: lambda e: self._of("sundbro_audit_failures_total", e.interaction).inc(),
            events.AuditWritten: lambda e: self._lasting(self._of("sundbro_audit_seconds"), e.seconds),
            events.AuditMeasured: self._audit,
            events.MinlogMeasured: self._minlog,
            events.MinlogSent: self._minlog_sent,
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

    def _lasting(self, histogram: Any, seconds: float) -> None:
        """Observe a duration, together with the others of this turn of the loop where there is one."""
        if not self._lasted:
            try:
                asyncio.get_running_loop().call_soon(self._take_lasted)
            except RuntimeError:
                histogram.take((seconds,))
                return
        self._lasted.setdefault(histogram, []).append(seconds)

    def _take_lasted(self) -> None:
        lasted, self._lasted = self._lasted, {}
        for histogram, seconds in lasted.items():
            histogram.take(seconds)

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

    def _audit(self, e: events.AuditMeasured) -> None:
        self._of("sundbro_audit_unsealed_seconds").set(e.unsealed_seconds)
        self._of("sundbro_audit_unsent_checkpoints").set(e.unsent)
        self._of("sundbro_audit_unsent_seconds").set(e.unsent_seconds)

    def _minlog(self, e: events.MinlogMeasured) -> None:
        self._of("sundbro_minlog_waiting_entries").set(e.waiting)
        self._of("sundbro_minlog_oldest_seconds").set(e.oldest_seconds)
        self._of("sundbro_minlog_parked_entries").set(e.parked)

    def _minlog_sent(self, e: events.MinlogSent) -> None:
        self._of("sundbro_minlog_entries_total", "added").inc(e.added)
        self._of("sundbro_minlog_entries_total", "failed").inc(e.failed)


def exposition() -> bytes:
    """Return the text of /metrics: the numbers of every process of this gateway together."""
    for _ in range(READS_MAX - 1):
        try:
            return _gathered()
        except (ValueError, KeyError, struct.error, OSError):
            # Another process makes its file longer at this moment, and what is read of it is half a line.
            time.sleep(READ_AGAIN_SECONDS)
    return _gathered()


def _gathered() -> bytes:
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
