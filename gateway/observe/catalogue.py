"""The closed list of metrics. docs/reference/metrics.md is made from it."""

from __future__ import annotations

from dataclasses import dataclass

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
    Metric(
        "histogram",
        "sundbro_audit_seconds",
        (),
        "what an answer waits for its audit record",
        "p95 over 0.005: the database's disk is slow",
    ),
    Metric(
        "counter",
        "sundbro_audit_failures_total",
        ("interaction",),
        "answers withheld because their audit record could not be written",
        "any: callers get 503; the database is away or full",
    ),
    Metric(
        "gauge",
        "sundbro_audit_unsealed_seconds",
        (),
        "age of the oldest audit record without a checkpoint",
        "over 300: no process of the role serve seals; restart it",
    ),
    Metric(
        "gauge",
        "sundbro_audit_unsent_checkpoints",
        (),
        "checkpoints that a witness has not acknowledged",
        "growing: the witness is away; nothing is lost, but nobody outside knows yet",
    ),
    Metric(
        "gauge",
        "sundbro_audit_unsent_seconds",
        (),
        "age of the oldest of them",
        "over 3600: whoever owns the database could tell another story of that hour",
    ),
    Metric(
        "gauge", "sundbro_minlog_waiting_entries", (), "entries to be registered in MinLog", "growing: see the next"
    ),
    Metric(
        "gauge",
        "sundbro_minlog_oldest_seconds",
        (),
        "age of the oldest of them",
        "over 7200: MinLog or the way to it is away",
    ),
    Metric(
        "gauge",
        "sundbro_minlog_parked_entries",
        (),
        "entries that MinLog does not take, or that nobody can be named in",
        "sundbro audit minlog shows them",
    ),
    Metric(
        "counter",
        "sundbro_minlog_entries_total",
        ("outcome",),
        "entries that MinLog answered: added, failed",
        "failed: sundbro audit minlog shows why",
    ),
)
