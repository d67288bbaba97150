"""The numbers of /metrics for people: one row a feed, percentiles out of the histograms."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from gateway.observe.metrics import percentile


@dataclass(slots=True)
class FeedNumbers:
    """What has happened on one feed since this gateway started. Seconds; None where nothing was measured."""

    received: int = 0
    translated: int = 0
    stored: int = 0
    rejected: int = 0
    duplicate: int = 0
    versions: int = 0
    visible: dict[float, float] = field(default_factory=lambda: defaultdict(float))
    durable: dict[float, float] = field(default_factory=lambda: defaultdict(float))

    def visible_seconds(self, share: float) -> float | None:
        """Return the time from reception to searchable that `share` of the messages stayed below."""
        return percentile(self.visible, share)

    def durable_seconds(self, share: float) -> float | None:
        """Return the time from last byte to durable (what an ACK waits for) that `share` stayed below."""
        return percentile(self.durable, share)


_COUNTERS = {
    "sundbro_messages_received_total": "received",
    "sundbro_messages_translated_total": "translated",
    "sundbro_messages_stored_total": "stored",
    "sundbro_messages_duplicate_total": "duplicate",
    "sundbro_versions_total": "versions",
}
_BUCKETS = {"sundbro_visible_seconds_bucket": "visible", "sundbro_durable_seconds_bucket": "durable"}


def by_feed(text: str) -> dict[str, FeedNumbers]:
    """Return numbers per feed out of a Prometheus text. Rejections are counted by reason there, so not here."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415  see metrics.prepare

    feeds: dict[str, FeedNumbers] = defaultdict(FeedNumbers)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            feed = sample.labels.get("feed")
            if feed is None:
                continue
            if counter := _COUNTERS.get(sample.name):
                setattr(feeds[feed], counter, getattr(feeds[feed], counter) + int(sample.value))
            elif histogram := _BUCKETS.get(sample.name):
                getattr(feeds[feed], histogram)[float(sample.labels["le"])] += sample.value
    return dict(feeds)
