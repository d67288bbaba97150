-- One transaction of `apply`, in the order in which it runs. Every writer takes its locks in this order: reading
-- position, message letters, current rows by (type, id), outbox heads by part, counts by (feed, part), and translators
-- last the book of the order of application.

-- name: positions
-- The reading positions, held until the commit: $1 group, $2 topics, $3 partitions. `held`: the lease still runs.
select topic, part, next_offset, epoch, expires > clock_timestamp() as held
  from position where grp = $1 and (topic, part) in (select * from unnest($2::text[], $3::integer[]))
 order by topic, part for update;

-- name: inbox
-- What is known of the messages: $1 receipts; $2 letters; $3, $4 envelopes and the letters they came around;
-- $5, $6 control ids and the letters they came with.
select 'receipt' as how, m.receipt, m.letter, null::bytea as key, m.seq, m.state, m.first, m.topic, m.part, m.at_offset,
       coalesce(m.reply, f.reply) is not null as answered
  from unnest($1::text[]) as asked (receipt) join message m on m.receipt = asked.receipt
  left join message f on f.seq = m.duplicate_of
union all
select 'letter', m.receipt, m.letter, null, m.seq, m.state, true, m.topic, m.part, m.at_offset, m.reply is not null
  from unnest($2::bytea[]) as asked (letter) join message m on m.letter = asked.letter and m.first
union all
select 'envelope', '', asked.letter, asked.envelope, 0, '', false, '', 0, 0, false
  from unnest($3::bytea[], $4::bytea[]) as asked (envelope, letter)
 where exists (select from message m where m.envelope = asked.envelope and m.letter <> asked.letter)
union all
select 'control', '', asked.letter, asked.control, 0, '', false, '', 0, 0, false
  from unnest($5::bytea[], $6::bytea[]) as asked (control, letter)
 where exists (select from message m where m.control = asked.control and m.letter <> asked.letter);

-- name: current
-- The current rows of a batch's resources: $1 types, $2 ids, $3 whether the body is needed (to merge into).
-- xmin names the transaction that wrote the row as it stands.
select r.rid, r.type, r.id, r.version, r.updated, r.deleted, r.lane, r.patient, r.event, r.received, r.line, r.digest, r.message,
       r.state, case when asked.whole or r.state is not null then r.body end as body, r.xmin::text as stored_as,
       case when asked.whole and r.state is null then (select feed from message m where m.seq = r.message) end as feed
  from unnest($1::smallint[], $2::text[], $3::boolean[]) as asked (type, id, whole)
  join resource r on r.type = asked.type and r.id = asked.id;

-- name: message_numbers
select nextval('message_seq') from generate_series(1, $1);

-- name: resource_numbers
select nextval('resource_rid') from generate_series(1, $1);

-- name: lock
-- Take the rows that will change, in the order of all writers: $1 rids. The caller compares xmin with what it planned
-- from; a row that another transaction has meanwhile replaced or noted is missing or differs, and the batch is planned
-- again.
select rid, xmin::text as stored_as from resource where rid = any($1::bigint[]) order by type, id for update;

-- name: supersede
-- Move current rows aside, and forget what they were found by; their next versions land under the same rid: $1 rids.
with gone as (
  delete from resource where rid = any($1::bigint[])
  returning updated, message, version, type, deleted, id, lane, patient, body
), dates as (
  delete from date_of where rid = any($1::bigint[])
), strings as (
  delete from string_of where rid = any($1::bigint[])
), measures as (
  delete from measure_of where rid = any($1::bigint[])
)
insert into version (updated, message, version, type, deleted, id, lane, patient, body) select * from gone;

-- name: note
-- Content unchanged, but stated again by a later message, or stated by more: $1 rids, $2 event, $3 received, $4 line, $5 state.
update resource r set event = n.event, received = n.received, line = n.line, state = n.state
  from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::json[]) as n (rid, event, received, line, state)
 where r.rid = n.rid;

-- name: retold
-- A message was replayed: $1 seq, and what it now is.
update message set state = $2, stored = $3, type = $4, mapping = $5, provenance = $6, made = $7, reasons = $8 where seq = $1;

-- name: numbers
-- Take the outbox partitions, in order, until the commit, and numbers in each: $1 partitions, $2 how many. `upto` is the
-- last number taken.
with held as (
  select part from outbox_head where part = any($1::integer[]) order by part for update
)
update outbox_head h set seq = h.seq + n.count
  from unnest($1::integer[], $2::bigint[]) as n (part, count) join held on held.part = n.part
 where h.part = n.part returning h.part, h.seq as upto;

-- name: new_heads
insert into outbox_head (part) select unnest($1::integer[]) order by 1 on conflict do nothing;

-- name: count
-- $1 feed, $2 partition of the source topic, $3 to $5 what to add to stored, rejected, duplicate.
insert into feed_count (feed, part, stored, rejected, duplicate)
select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[])
    on conflict (feed, part) do update
   set stored = feed_count.stored + excluded.stored, rejected = feed_count.rejected + excluded.rejected,
       duplicate = feed_count.duplicate + excluded.duplicate;

-- name: move_positions
-- $1 group, $2 topics, $3 partitions, $4 where they now stand.
update position p set next_offset = n.next_offset
  from unnest($2::text[], $3::integer[], $4::bigint[]) as n (topic, part, next_offset)
 where p.grp = $1 and p.topic = n.topic and p.part = n.part;
