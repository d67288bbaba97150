-- One transaction of `write`, in the order in which it runs; locks in the order of apply.sql, conditions before all.

-- name: agree
-- Writers with an equal condition wait for one another until the commit: $1 hashes of conditions, ascending.
select pg_advisory_xact_lock(key) from unnest($1::bigint[]) as asked (key);

-- name: held
-- The current rows, locked in the order of all writers: $1 types, $2 ids. A row that another transaction is replacing
-- is waited for, and then not among the answers: it was deleted, and its successor is younger than this statement.
select r.rid, r.type, r.id, r.version, r.updated, r.deleted, r.lane, r.patient, r.event, r.received, r.line, r.digest, r.message,
       null::text as state, null::bytea as body, r.xmin::text as stored_as, '' as feed
  from unnest($1::smallint[], $2::text[]) as asked (type, id)
  join resource r on r.type = asked.type and r.id = asked.id
 order by r.type, r.id for update of r;

-- name: standing
-- The same rows, not locked: $1 types, $2 ids. What is planned from them says so by their xmin (land.sql, instead).
select r.rid, r.type, r.id, r.version, r.updated, r.deleted, r.lane, r.patient, r.event, r.received, r.line, r.digest, r.message,
       null::text as state, null::bytea as body, r.xmin::text as stored_as, '' as feed
  from unnest($1::smallint[], $2::text[]) as asked (type, id)
  join resource r on r.type = asked.type and r.id = asked.id;

-- name: present
-- Whether one of these is there after all: $1 types, $2 ids.
select exists (
  select from unnest($1::smallint[], $2::text[]) as asked (type, id)
    join resource r on r.type = asked.type and r.id = asked.id
);
