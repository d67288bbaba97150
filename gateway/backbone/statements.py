"""What the embedded log asks of PostgreSQL, by name. The tables are in postgres.sql; {schema} is filled in once."""

from __future__ import annotations

from dataclasses import dataclass, fields

TOPICS = "select name, id, partitions from {schema}.topic"

CREATE_TOPIC = """
    insert into {schema}.topic (name, partitions, retention_hours) values ($1, $2, $3)
    on conflict (name) do update set retention_hours = excluded.retention_hours
    returning id, partitions
"""

CREATE_HEADS = """
    insert into {schema}.head (topic_id, partition) select $1, n from generate_series(0, $2::int - 1) as n
    on conflict do nothing
"""

APPEND = "select {schema}.append($1::int[], $2::int[], $3::int[], $4::int[], $5::bigint[], $6::bytea[])"

NOTIFY = "select pg_notify($1, $2)"

# Offsets have no gaps, so "the next n records" is a range of offsets: from the batch that holds the wanted one on. Each
# partition that has something gets an equal share of both limits, so that a busy one does not starve the others, and
# at least one batch unless the limit in bytes is used up by those before it in the order given. `start` is the offset
# that reading begins at: the wanted one, or the first one kept.
FETCH = """
    with live as materialized (
      select want.ordinality, want.topic_id, want.partition, greatest(want.next_offset, head.first_offset) as start,
             count(*) over () as partitions
      from unnest($1::int[], $2::int[], $3::bigint[]) with ordinality as want (topic_id, partition, next_offset)
      join {schema}.head using (topic_id, partition)
      where head.next_offset > greatest(want.next_offset, head.first_offset)
    ), shared as (
      select live.*, found.*, sum(found.bytes) over (
        order by live.ordinality, found.base_offset rows between unbounded preceding and 1 preceding
      ) as bytes_before
      from live cross join lateral (
        select *, sum(bytes) over (
          order by base_offset rows between unbounded preceding and 1 preceding) as partition_bytes_before
        from {schema}.batch
        where batch.topic_id = live.topic_id and batch.partition = live.partition
          and base_offset < live.start + greatest(1, $4::bigint / live.partitions)
          and base_offset >= (
            select max(holder.base_offset) from {schema}.batch as holder
            where holder.topic_id = live.topic_id and holder.partition = live.partition
              and holder.base_offset <= live.start)
      ) as found (_topic, _partition, base_offset, records, bytes, _timestamp_ms, body, partition_bytes_before)
      where found.partition_bytes_before is null or found.partition_bytes_before < $5::bigint / live.partitions
    )
    select topic_id, partition, start, base_offset, body from shared
    where bytes_before is null or bytes_before < $5
    order by ordinality, base_offset
"""

READ = """
    select batch.base_offset, batch.body
    from {schema}.batch join {schema}.head using (topic_id, partition)
    where topic_id = $1 and partition = $2 and base_offset <= $3 and $3 < base_offset + records and $3 >= first_offset
    order by base_offset desc limit 1
"""

BOUNDS = """
    select topic.name, head.partition, head.first_offset, head.next_offset
    from {schema}.head join {schema}.topic on topic.id = head.topic_id
    where topic.name = any ($1::text[])
"""

FORGET = """
    update {schema}.head set first_offset = least(greatest(head.first_offset, given.first_offset), head.next_offset)
    from unnest($2::int[], $3::bigint[]) as given (partition, first_offset)
    where head.topic_id = $1 and head.partition = given.partition
"""

# A partition loses what lies before its first batch that is young enough. Everything is decided on one snapshot, so
# that a batch written meanwhile is never taken for an old one.
EXPIRE = """
    with old as materialized (
      select head.topic_id, head.partition, coalesce(
        (select min(batch.base_offset) from {schema}.batch
         where batch.topic_id = head.topic_id and batch.partition = head.partition
           and batch.last_timestamp_ms >= $1::bigint - topic.retention_hours * 3600000::bigint),
        head.next_offset) as first_offset
      from {schema}.head join {schema}.topic on topic.id = head.topic_id
      where topic.retention_hours > 0
    )
    update {schema}.head set first_offset = old.first_offset from old
    where head.topic_id = old.topic_id and head.partition = old.partition and old.first_offset > head.first_offset
"""

# In strides, so that a first cleaning after a long pause does not become one huge transaction.
SWEEP = """
    delete from {schema}.batch where (topic_id, partition, base_offset) in (
      select batch.topic_id, batch.partition, batch.base_offset
      from {schema}.head join {schema}.batch using (topic_id, partition)
      where batch.base_offset + batch.records <= head.first_offset
        and batch.base_offset < head.first_offset
      limit $1)
"""


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements of this file for one schema."""

    topics: str = TOPICS
    create_topic: str = CREATE_TOPIC
    create_heads: str = CREATE_HEADS
    append: str = APPEND
    notify: str = NOTIFY
    fetch: str = FETCH
    read: str = READ
    bounds: str = BOUNDS
    forget: str = FORGET
    expire: str = EXPIRE
    sweep: str = SWEEP


def statements(schema: str) -> Statements:
    """Return the statements for `schema`, which is an identifier already (checked by the caller)."""
    return Statements(**{one.name: str(one.default).replace("{schema}", schema) for one in fields(Statements)})
