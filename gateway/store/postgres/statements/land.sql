-- What is new lands in one statement, one trip and, outside a transaction, its own commit. The rows of each table come as
-- arrays, a column each. Locks in the order of apply.sql: resources first (the unique index), then the outbox heads.

-- name: together
-- $1 to $21 resource ($17 tokens as array literals), $22 to $30 version, $31 to $36 date_of, $37 to $43 string_of,
-- $44 to $50 measure_of; $51 partitions and $52 how many numbers in each; $53 to $58 outbox, the number counted from 1 in
-- its partition. A partition without a head violates the outbox's key: nothing is published into nowhere.
with landed as (
  insert into resource (rid, updated, patient, code, low, high, event, received, line, message, version, type, deleted, id,
                        lane, digest, tokens, state, body, own, present)
  select rid, updated, patient, code, low, high, event, received, line, message, version, type, deleted, id,
         lane, digest, tokens::bigint[], state, body, own, present
    from unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
                $7::timestamptz[], $8::timestamptz[], $9::bigint[], $10::bigint[], $11::integer[], $12::smallint[],
                $13::boolean[], $14::text[], $15::text[], $16::bytea[], $17::text[], $18::json[], $19::bytea[], $20::bigint[],
                $21::bigint[])
      as r (rid, updated, patient, code, low, high, event, received, line, message, version, type, deleted, id,
            lane, digest, tokens, state, body, own, present)
  returning 1
), past as (
  insert into version (updated, message, version, type, deleted, id, lane, patient, body)
  select * from unnest($22::timestamptz[], $23::bigint[], $24::integer[], $25::smallint[], $26::boolean[], $27::text[],
                       $28::text[], $29::bigint[], $30::bytea[])
), dated as (
  insert into date_of (rid, low, high, type, parameter, edge)
  select * from unnest($31::bigint[], $32::timestamptz[], $33::timestamptz[], $34::smallint[], $35::smallint[], $36::smallint[])
), named as (
  insert into string_of (rid, type, parameter, edge, key, folded, exact)
  select * from unnest($37::bigint[], $38::smallint[], $39::smallint[], $40::smallint[], $41::text[], $42::text[], $43::text[])
), measured as (
  insert into measure_of (rid, unit, type, parameter, edge, low, high)
  select * from unnest($44::bigint[], $45::integer[], $46::smallint[], $47::smallint[], $48::smallint[], $49::numeric[],
                       $50::numeric[])
), held as (
  select part from outbox_head
   where part = any($51::integer[]) and (select count(*) from landed) is not null
   order by part for update
), taken as (
  update outbox_head h set seq = h.seq + n.count
    from unnest($51::integer[], $52::bigint[]) as n (part, count) join held on held.part = n.part
   where h.part = n.part returning h.part, h.seq - n.count as upto
)
insert into outbox (seq, message, part, version, type, id)
select taken.upto + o.number, o.message, o.part, o.version, o.type, o.id
  from unnest($53::bigint[], $54::bigint[], $55::integer[], $56::integer[], $57::smallint[], $58::text[])
    as o (number, message, part, version, type, id)
  left join taken on taken.part = o.part;

-- name: instead
-- Stands before the parts of `together`, in one statement with it (landing.py): the rows that are replaced, locked in the
-- order of all writers, go aside, and what they were found by is forgotten. $rids and $stored are whom the new rows replace
-- and the xmin that each was planned from: one that is another by now has no version to put aside, which may not be null.
planned as (
  select r.rid, r.xmin::text as stored from resource r where r.rid = any($rids::bigint[]) order by r.type, r.id for update
), gone as (
  delete from resource r using planned p where r.rid = p.rid
  returning r.rid, r.updated, r.message, r.version, r.type, r.deleted, r.id, r.lane, r.patient, r.body
), aside as (
  insert into version (updated, message, version, type, deleted, id, lane, patient, body)
  select g.updated, g.message, g.version, g.type, g.deleted, g.id, g.lane, g.patient, g.body
    from unnest($rids::bigint[], $stored::text[]) as asked (rid, stored)
    left join planned p on p.rid = asked.rid and p.stored = asked.stored
    left join gone g on g.rid = p.rid
), undated as (
  delete from date_of where rid = any($rids::bigint[])
), unnamed as (
  delete from string_of where rid = any($rids::bigint[])
), unmeasured as (
  delete from measure_of where rid = any($rids::bigint[])
)
