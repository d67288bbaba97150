"""What a topic may be called, on either backbone."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway import errors
from gateway.backbone.port import TopicSpec

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
"""Kafka's rule (org.apache.kafka.common.internals.Topic), with room left for a prefix under its 249 characters."""


def checked(topics: Iterable[TopicSpec]) -> list[TopicSpec]:
    """Return the topics. Raises `errors.Misconfigured` for one that neither backbone could keep."""
    topics = list(topics)
    for topic in topics:
        if not _NAME.fullmatch(topic.name) or topic.name in {".", ".."}:
            raise errors.Misconfigured(f"{topic.name!r} cannot name a topic: letters, digits, dot, hyphen, underscore")
        if topic.partitions < 1 or topic.retention_hours < 0:
            raise errors.Misconfigured(f"topic {topic.name} wants at least one partition and no negative retention")
    return topics


def agree(topic: TopicSpec, partitions: int) -> None:
    """Check that the topic that exists has as many partitions as the house wants; `errors.Misconfigured` if not."""
    if partitions != topic.partitions:
        raise errors.Misconfigured(
            f"topic {topic.name} exists with {partitions} partitions, not {topic.partitions}: changing it breaks order"
        )


def unknown(topic: str) -> errors.Misconfigured:
    """Return the failure for a topic that nobody has ensured."""
    return errors.Misconfigured(f"topic {topic} does not exist: ensure it first")
