-- The audit ledger. What the columns mean: migrations/0014_audit.sql.

-- name: begin
insert into audit_chain default values returning chain, name;

-- name: append
-- $1 chain; $2 to $6 seq, at, hash, event, personal of its next records; $7 to $9 patient, at, seq of whom they are about.
with about as (
  insert into audit_about (patient, at, chain, seq)
  select a.patient, a.at, $1, a.seq from unnest($7::bigint[], $8::timestamptz[], $9::bigint[]) as a (patient, at, seq)
)
insert into audit_record (chain, seq, at, hash, event, personal)
select $1, r.* from unnest($2::bigint[], $3::timestamptz[], $4::bytea[], $5::bytea[], $6::bytea[]) as r (seq, at, hash, event, personal);

-- name: append_alone
-- As `append`, where the records are about nobody.
insert into audit_record (chain, seq, at, hash, event, personal)
select $1, r.* from unnest($2::bigint[], $3::timestamptz[], $4::bytea[], $5::bytea[], $6::bytea[]) as r (seq, at, hash, event, personal);

-- name: hashes
-- The hashes of a chain after a record: $1 chain, $2 seq, $3 how many.
select seq, at, hash from audit_record where chain = $1 and seq > $2 order by seq limit $3;

-- name: checkpoint
-- $1 chain, $2 number, $3 upto, $4 at, $5 closed, $6 body, $7 witnesses to be told.
with made as (
  insert into audit_checkpoint (chain, number, upto, at, closed, body) values ($1, $2, $3, $4, $5, $6) returning chain, number
)
insert into audit_unsent (chain, number, witness) select made.chain, made.number, w.name from made, unnest($7::text[]) as w (name);

-- name: last_checkpoint
select chain, number, upto, at, closed, body from audit_checkpoint where chain = $1 order by number desc limit 1;

-- name: orphans
-- Chains with records that no checkpoint covers for longer than their writer would leave them: $1 the moment.
select c.chain, c.name from audit_chain c
 cross join lateral (
    select coalesce(max(upto), 0) as upto, coalesce(bool_or(closed), false) as closed
      from audit_checkpoint p where p.chain = c.chain
  ) p
  join audit_record r on r.chain = c.chain and r.seq = p.upto + 1
 where not p.closed and r.at < $1;

-- name: claim
-- Checkpoints that are due, taken for a while so that nobody else sends them too: $1 how many, $2 seconds.
update audit_unsent u set next = now() + make_interval(secs => $2 * least(60, power(2, u.tries))), tries = u.tries + 1
  from (
    select chain, number, witness from audit_unsent where next <= now() order by at, number limit $1 for update skip locked
  ) due
  join audit_checkpoint p on p.chain = due.chain and p.number = due.number
 where u.chain = due.chain and u.number = due.number and u.witness = due.witness
returning u.chain, u.number, u.witness, p.body;

-- name: acknowledged
delete from audit_unsent where chain = $1 and number = $2 and witness = $3;

-- name: measure
-- How far behind things are: records that no checkpoint covers, and checkpoints that a witness does not have, each with
-- the age of the oldest in seconds.
select
  (select coalesce(extract(epoch from now() - min(r.at)), 0)::float8 from audit_chain c
    cross join lateral (select coalesce(max(upto), 0) as upto from audit_checkpoint p where p.chain = c.chain) p
     join lateral (select at from audit_record r where r.chain = c.chain and r.seq > p.upto order by r.seq limit 1) r on true
  ) as unsealed_seconds,
  (select count(*) from audit_unsent) as unsent,
  (select coalesce(extract(epoch from now() - min(at)), 0)::float8 from audit_unsent) as unsent_seconds;

-- name: chains
select chain, name, begun from audit_chain order by chain;

-- name: rows
-- Records of one chain, in order: $1 chain, $2 after this seq, $3 how many.
select chain, seq, at, hash, event, personal, erased from audit_record where chain = $1 and seq > $2 order by seq limit $3;

-- name: checkpoints
select chain, number, upto, at, closed, body from audit_checkpoint where chain = $1 order by number;

-- name: one
select chain, seq, at, hash, event, personal, erased from audit_record where chain = $1 and seq = $2;

-- name: newest
-- Records of any chain, newest first: $1 from, $2 before, $3 to $5 below this (at, chain, seq), $6 how many.
select chain, seq, at, hash, event, personal, erased from audit_record
 where at >= $1 and at < $2 and (at, chain, seq) < ($3, $4, $5)
 order by at desc, chain desc, seq desc limit $6;

-- name: newest_about
-- As `newest`, of records about one of some patients: $7.
select r.chain, r.seq, r.at, r.hash, r.event, r.personal, r.erased
  from (
    select distinct a.at, a.chain, a.seq from unnest($7::bigint[]) as asked (patient)
     cross join lateral (
       select at, chain, seq from audit_about
        where patient = asked.patient and at >= $1 and at < $2 and (at, chain, seq) < ($3, $4, $5)
        order by at desc, chain desc, seq desc limit $6
     ) a
  ) a
  join audit_record r on r.chain = a.chain and r.seq = a.seq
 order by a.at desc, a.chain desc, a.seq desc limit $6;

-- name: persons
-- The ids of Patients: $1 search.query.own of each. A deleted one is not among them.
select own, id from resource where own = any($1::bigint[]) and type = (select code from resource_type where name = 'Patient');

-- name: prunable
-- The last checkpoint of each chain all of whose records are older than a moment, where something is before it: $1.
select p.chain, max(p.upto) as upto from audit_checkpoint p
 where p.at < $1 and exists (select from audit_record r where r.chain = p.chain and r.seq <= p.upto) group by p.chain;

-- name: act
-- What is about to be done is meant: $1 retention or erasure, until the commit.
select set_config('sundbro.audit_act', $1, true);

-- name: prune_about
delete from audit_about a using audit_record r where r.chain = $1 and r.seq <= $2 and a.chain = r.chain and a.seq = r.seq
   and a.at = r.at;

-- name: prune
delete from audit_record where chain = $1 and seq <= $2;

-- name: erase
-- Erase what is personal in some records: $1 chains, $2 seqs.
update audit_record r set personal = null, erased = sha256(r.personal)
  from unnest($1::integer[], $2::bigint[]) as asked (chain, seq)
 where r.chain = asked.chain and r.seq = asked.seq and r.personal is not null;

-- name: erase_about
-- `erase` leaves nobody by whom a record is found: $1 chains, $2 seqs.
delete from audit_about a using unnest($1::integer[], $2::bigint[]) as asked (chain, seq)
 where a.chain = asked.chain and a.seq = asked.seq;
