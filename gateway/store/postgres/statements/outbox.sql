-- What is to be published. A row points at a version, which is either current or superseded: one snapshot finds it in
-- exactly one of the two tables.

-- name: unpublished
-- $1 partition, $2 after this number, $3 how many.
select o.seq, coalesce(t.name, '') as type, o.id, o.version, m.receipt, m.feed, m.traceparent,
       coalesce(r.lane, v.lane, m.lane) as lane, coalesce(r.updated, v.updated, m.stored) as at,
       coalesce(r.deleted, v.deleted, false) as deleted,
       case when o.version = 0 then coalesce(m.reply, f.reply) else coalesce(r.body, v.body) end as body
  from outbox o
  join message m on m.seq = o.message
  left join message f on o.version = 0 and f.seq = m.duplicate_of
  left join resource_type t on t.code = o.type
  left join resource r on r.type = o.type and r.id = o.id and r.version = o.version
  left join version v on v.type = o.type and v.id = o.id and v.version = o.version
 where o.part = $1 and o.seq > $2
 order by o.seq limit $3;

-- name: holder
-- The publisher's lease, held: $1 partition.
select epoch, expires > clock_timestamp() as held, next_offset
  from position where grp = 'publish' and topic = 'outbox' and part = $1 for update;

-- name: drop
delete from outbox where part = $1 and seq <= $2;

-- name: moved
-- The publisher's position is the number of rows published: $1 partition, $2 the last one.
update position set next_offset = $2 where grp = 'publish' and topic = 'outbox' and part = $1;
