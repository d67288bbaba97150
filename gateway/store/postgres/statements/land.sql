-- What is new lands in one statement, one trip and, outside a transaction, its own commit. The rows of each table come as
-- arrays, a column each. Locks in the order of apply.sql: resources first (the unique index), then the outbox heads.

-- name: together
-- $1 to $21 resource ($17 tokens as array literals), $22 to $29 version, $30 to $35 date_of, $36 to $42 string_of,
-- $43 to $49 measure_of; $50 partitions and $51 how many numbers in each; $52 to $57 outbox, the number counted from 1 in
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
  insert into version (updated, message, version, type, deleted, id, lane, body)
  select * from unnest($22::timestamptz[], $23::bigint[], $24::integer[], $25::smallint[], $26::boolean[], $27::text[],
                       $28::text[], $29::bytea[])
), dated as (
  insert into date_of (rid, low, high, type, parameter, edge)
  select * from unnest($30::bigint[], $31::timestamptz[], $32::timestamptz[], $33::smallint[], $34::smallint[], $35::smallint[])
), named as (
  insert into string_of (rid, type, parameter, edge, key, folded, exact)
  select * from unnest($36::bigint[], $37::smallint[], $38::smallint[], $39::smallint[], $40::text[], $41::text[], $42::text[])
), measured as (
  insert into measure_of (rid, unit, type, parameter, edge, low, high)
  select * from unnest($43::bigint[], $44::integer[], $45::smallint[], $46::smallint[], $47::smallint[], $48::numeric[],
                       $49::numeric[])
), held as (
  select part from outbox_head
   where part = any($50::integer[]) and (select count(*) from landed) is not null
   order by part for update
), taken as (
  update outbox_head h set seq = h.seq + n.count
    from unnest($50::integer[], $51::bigint[]) as n (part, count) join held on held.part = n.part
   where h.part = n.part returning h.part, h.seq - n.count as upto
)
insert into outbox (seq, message, part, version, type, id)
select taken.upto + o.number, o.message, o.part, o.version, o.type, o.id
  from unnest($52::bigint[], $53::bigint[], $54::integer[], $55::integer[], $56::smallint[], $57::text[])
    as o (number, message, part, version, type, id)
  left join taken on taken.part = o.part;
