-- What is to be published. A row points at a version, which is either current or superseded: one snapshot finds it in
-- exactly one of the two tables.

-- name: unpublished
-- $1 partitions, $2 after these numbers, $3 how many of each.
select o.part, o.seq, coalesce(t.name, '') as type, o.id, o.version, coalesce(m.receipt, '') as receipt,
       coalesce(m.feed, '') as feed, coalesce(m.traceparent, '') as trace,
       coalesce(r.lane, v.lane, m.lane) as lane, coalesce(r.updated, v.updated, m.stored) as at,
       coalesce(r.deleted, v.deleted, false) as deleted,
       case when o.version = 0 then coalesce(m.reply, f.reply) else coalesce(r.body, v.body) end as body
  from unnest($1::integer[], $2::bigint[]) as asked (part, after)
 cross join lateral (
    select * from outbox where part = asked.part and seq > asked.after order by seq limit $3
  ) o
  left join message m on m.seq = o.message  -- none for what the API wrote
  left join message f on o.version = 0 and f.seq = m.duplicate_of
  left join resource_type t on t.code = o.type
  left join resource r on r.type = o.type and r.id = o.id and r.version = o.version
  left join lateral (  -- only where it is not the current one
    select lane, updated, deleted, body from version
     where r.rid is null and type = o.type and id = o.id and version = o.version
  ) v on true
 order by o.part, o.seq;

-- name: published
-- Move the publisher's positions, which are the numbers of rows published, and drop what lies below; only under leases
-- that are still held, whose partitions are returned: $1 partitions, ascending, $2 the last rows, $3 epochs.
with held as (
  select p.part, p.next_offset, greatest(p.next_offset, n.upto) as upto
    from unnest($1::integer[], $2::bigint[], $3::bigint[]) as n (part, upto, epoch)
    join position p on p.grp = 'publish' and p.topic = 'outbox' and p.part = n.part
   where p.epoch = n.epoch and p.expires > clock_timestamp()
   order by p.part for update of p
), gone as (
  -- from where the last one ended: below it there are only dead entries of the index, and many
  delete from outbox o using held where o.part = held.part and o.seq > held.next_offset and o.seq <= held.upto
), moved as (
  update position p set next_offset = held.upto
    from held where p.grp = 'publish' and p.topic = 'outbox' and p.part = held.part
)
select part from held;
