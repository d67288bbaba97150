-- The audit ledger. What the columns mean: migrations/0011_audit.sql.

-- name: begin
insert into audit_chain default values returning chain, name;

-- name: append
-- The next records of a chain.
insert into audit_block (chain, first, upto, at, patients, hashes, events, personal) values ($1, $2, $3, $4, $5, $6, $7, $8);

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
  join audit_block b on b.chain = c.chain and b.first = p.upto + 1
 where not p.closed and b.at < $1;

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
  (select coalesce(extract(epoch from now() - min(b.at)), 0)::float8 from audit_chain c
    cross join lateral (select coalesce(max(upto), 0) as upto from audit_checkpoint p where p.chain = c.chain) p
     join audit_block b on b.chain = c.chain and b.first = p.upto + 1
  ) as unsealed_seconds,
  (select count(*) from audit_unsent) as unsent,
  (select coalesce(extract(epoch from now() - min(at)), 0)::float8 from audit_unsent) as unsent_seconds;

-- name: chains
select chain, name from audit_chain order by chain;

-- name: blocks
-- Blocks of one chain that end after a record, in order: $1 chain, $2 seq, $3 how many.
select chain, first, upto, at, patients, hashes, events, personal from audit_block
 where chain = $1 and upto > $2 order by first limit $3;

-- name: holding
-- The block that holds a record: $1 chain, $2 seq.
select chain, first, upto, at, patients, hashes, events, personal from audit_block
 where chain = $1 and first <= $2 and upto >= $2 order by first desc limit 1;

-- name: checkpoints
select chain, number, upto, at, closed, body from audit_checkpoint where chain = $1 order by number;

-- name: newest
-- Blocks of any chain, newest first: $1 from, $2 before, $3 to $5 at or below this (at, chain, first), $6 how many.
select chain, first, upto, at, patients, hashes, events, personal from audit_block
 where at >= $1 and at < $2 and (at, chain, first) <= ($3, $4, $5)
 order by at desc, chain desc, first desc limit $6;

-- name: newest_about
-- As `newest`, of blocks with records that concern one of some patients: $7.
select chain, first, upto, at, patients, hashes, events, personal from audit_block
 where patients && $7::bigint[] and at >= $1 and at < $2 and (at, chain, first) <= ($3, $4, $5)
 order by at desc, chain desc, first desc limit $6;

-- name: persons
-- The ids of Patients: $1 search.query.own of each. A deleted one is not among them.
select own, id from resource where own = any($1::bigint[]) and type = (select code from resource_type where name = 'Patient');

-- name: prunable
-- The last checkpoint of each chain that is from before a moment, where something is before it: $1.
select p.chain, max(p.upto) as upto from audit_checkpoint p
 where p.at < $1 and exists (select from audit_block b where b.chain = p.chain and b.upto <= p.upto) group by p.chain;

-- name: act
-- What is about to be done is meant: $1 retention or erasure, until the commit.
select set_config('sundbro.audit_act', $1, true);

-- name: prune
delete from audit_block where chain = $1 and upto <= $2;

-- name: erase
-- $1 chain, $2 first, $3 what is left of `personal` and $4 of `patients`.
update audit_block set personal = $3, patients = $4 where chain = $1 and first = $2;
