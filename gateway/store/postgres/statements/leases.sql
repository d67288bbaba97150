-- Who may work on which partition, until when. Times are the database's clock: workers' clocks do not matter.

-- name: add
-- $1 group, $2 topics, $3 partitions: rows for what nobody has worked on yet.
insert into position (grp, topic, part)
select $1, w.topic, w.part from unnest($2::text[], $3::integer[]) as w (topic, part) order by 2, 3
    on conflict do nothing;

-- name: own
-- The leases of an owner, held: $1 group, $2 owner. Waits for a batch of its own that is being committed.
select topic, part, epoch, next_offset from position where grp = $1 and owner = $2 order by topic, part for update;

-- name: renew
-- $1 group, $2 topics, $3 partitions, $4 seconds.
update position p set expires = clock_timestamp() + make_interval(secs => $4)
  from unnest($2::text[], $3::integer[]) as w (topic, part)
 where p.grp = $1 and p.topic = w.topic and p.part = w.part;

-- name: give_back
-- $1 group, $2 topics, $3 partitions.
update position p set owner = '', expires = '-infinity'
  from unnest($2::text[], $3::integer[]) as w (topic, part)
 where p.grp = $1 and p.topic = w.topic and p.part = w.part;

-- name: free
-- Free and expired partitions among those wanted, held: $1 group, $2 topics, $3 partitions, $4 how many.
-- A row that is locked belongs to somebody who is committing at this moment, and is passed over.
select p.topic, p.part from position p
  join unnest($2::text[], $3::integer[]) with ordinality as w (topic, part, place) on p.topic = w.topic and p.part = w.part
 where p.grp = $1 and p.expires <= clock_timestamp()
 order by w.place limit $4 for update of p skip locked;

-- name: take
-- A new epoch fences whoever had it before: $1 group, $2 topics, $3 partitions, $4 owner, $5 seconds.
update position p set owner = $4, epoch = p.epoch + 1, expires = clock_timestamp() + make_interval(secs => $5)
  from unnest($2::text[], $3::integer[]) as w (topic, part)
 where p.grp = $1 and p.topic = w.topic and p.part = w.part
returning p.topic, p.part, p.epoch, p.next_offset;

-- name: release
-- $1 group, $2 owner.
update position set owner = '', expires = '-infinity' where grp = $1 and owner = $2;

-- name: positions
-- $1 group.
select topic, part, next_offset from position where grp = $1;

-- name: join
-- An owner says that it is alive: $1 group of members, $2 owner, $3 seconds.
insert into position (grp, topic, part, owner, expires) values ($1, $2, 0, $2, clock_timestamp() + make_interval(secs => $3))
    on conflict (grp, topic, part) do update set expires = excluded.expires;

-- name: members
-- How many owners are alive: $1 group of members.
select count(*) from position where grp = $1 and expires > clock_timestamp();

-- name: leave
-- $1 group of members, $2 owner; those that died a while ago leave with it.
delete from position where grp = $1 and (topic = $2 or expires < clock_timestamp() - interval '1 hour');
