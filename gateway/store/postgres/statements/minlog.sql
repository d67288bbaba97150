-- What MinLog is to be told. What the columns mean: migrations/0011_audit.sql.

-- name: unread
-- Blocks that have not been looked through yet: $1 how many. Whoever looks holds the position of the chain.
select b.chain, b.first, b.upto, b.at, b.patients, b.hashes, b.events, b.personal
  from (
    select c.chain, coalesce((select seq from minlog_position p where p.chain = c.chain), 0) as seq from audit_chain c
  ) at
 cross join lateral (
    select * from audit_block b where b.chain = at.chain and b.first > at.seq order by b.first limit $1
  ) b
 order by b.chain, b.first limit $1;

-- name: hold
-- One at a time looks through the ledger, until the commit.
select pg_advisory_xact_lock(hashtextextended('sundbro minlog ' || current_schema(), 0));

-- name: move
-- $1 chain, $2 seq.
insert into minlog_position (chain, seq) values ($1, $2) on conflict (chain) do update set seq = excluded.seq;

-- name: add
-- A look: $1 patient, $2 moment, $3 what is the same about looks that are one entry, $4 when it is due.
insert into minlog_entry (patient, first, last, look, next) values ($1, $2, $2, $3, $4)
    on conflict (patient, look) where state = 'waiting' and tries = 0 do update
   set first = least(minlog_entry.first, excluded.first), last = greatest(minlog_entry.last, excluded.last),
       looks = minlog_entry.looks + 1;

-- name: requests
-- Requests of the last hour; older ones are forgotten.
with gone as (delete from minlog_request where at <= now() - interval '1 hour')
select count(*) from minlog_request where at > now() - interval '1 hour';

-- name: request
insert into minlog_request default values;

-- name: claim
-- Entries that are due: $1 how many, $2 seconds after which one that nobody answered for is due again.
update minlog_entry e set state = 'sending', tries = tries + 1, next = now() + make_interval(secs => $2)
  from (
    select id from minlog_entry where state <> 'parked' and next <= now() order by next, id limit $1 for update skip locked
  ) due
 where e.id = due.id
returning e.id, e.first, e.last, e.patient, e.looks, e.tries, e.look;

-- name: registered
delete from minlog_entry where id = any($1::bigint[]);

-- name: again
-- $1 ids, $2 faults, $3 seconds until the next try of each.
update minlog_entry e set state = 'waiting', fault = f.fault, next = now() + make_interval(secs => f.seconds)
  from unnest($1::bigint[], $2::text[], $3::float8[]) as f (id, fault, seconds) where e.id = f.id;

-- name: park
-- $1 ids, $2 faults.
update minlog_entry e set state = 'parked', fault = f.fault
  from unnest($1::bigint[], $2::text[]) as f (id, fault) where e.id = f.id;

-- name: release
-- Parked entries are tried again.
update minlog_entry set state = 'waiting', next = now(), tries = 1 where state = 'parked';

-- name: measure
select count(*) filter (where state <> 'parked') as waiting,
       coalesce(extract(epoch from now() - min(added) filter (where state <> 'parked')), 0)::float8 as oldest_seconds,
       count(*) filter (where state = 'parked') as parked
  from minlog_entry;

-- name: faults
-- Entries that failed or are parked, by fault.
select state, fault, count(*) as entries, min(first) as oldest from minlog_entry where fault <> '' group by state, fault order by 1, 2;
