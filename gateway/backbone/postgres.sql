-- The embedded log: tables and the one function that writes. Run at every start, under an advisory lock; harmless when
-- everything is there already. {schema} is replaced by the schema's name (gateway/backbone/postgres.py).

create schema if not exists {schema};

create table if not exists {schema}.topic (
  id              int generated always as identity primary key,
  name            text not null unique,
  partitions      int  not null check (partitions > 0),
  retention_hours int  not null default 0 check (retention_hours >= 0)   -- 0 keeps for ever
);

-- Where each partition begins and ends. The row lock taken by `append` is what makes offsets gap-free and their order
-- the order of commits. Updated with every commit, hence the room left on each page for versions that replace in place.
create table if not exists {schema}.head (
  topic_id     int    not null references {schema}.topic (id),
  partition    int    not null,
  first_offset bigint not null default 0,   -- the first record kept
  next_offset  bigint not null default 0,   -- the next record to be written
  primary key (topic_id, partition),
  check (first_offset <= next_offset)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- The log itself: one row a batch of records, as gateway/backbone/codec.py packs them.
create table if not exists {schema}.batch (
  topic_id          int    not null,
  partition         int    not null,
  base_offset       bigint not null,        -- of its first record
  records           int    not null check (records > 0),
  bytes             int    not null,        -- before compression: what a reader needs to stay inside its limit
  last_timestamp_ms bigint not null,        -- the largest of its records; retention goes by it
  body              bytea  not null,
  primary key (topic_id, partition, base_offset)
);
alter table {schema}.batch alter column body set storage external;   -- compressed already

-- Write batches and return the base offset of each, in the order given. One call is one transaction. The caller sorts by
-- (topic, partition), so that two processes lock heads in the same order; batches of one partition follow one another.
create or replace function {schema}.append(
  topic_ids int[], partitions int[], counts int[], sizes int[], timestamps bigint[], bodies bytea[]
) returns setof bigint language plpgsql as $$
declare
  item record;
  base bigint;
begin
  perform set_config('synchronous_commit', 'on', true);   -- whatever the server's default: accepted means durable
  for item in
    select * from unnest(topic_ids, partitions, counts, sizes, timestamps, bodies)
      as batch (topic_id, partition, records, bytes, last_timestamp_ms, body)
  loop
    update {schema}.head set next_offset = next_offset + item.records
      where head.topic_id = item.topic_id and head.partition = item.partition
      returning next_offset - item.records into strict base;
    insert into {schema}.batch values
      (item.topic_id, item.partition, base, item.records, item.bytes, item.last_timestamp_ms, item.body);
    return next base;
  end loop;
end $$;
