-- The rows of the search index beside the resource, and what they are numbered by.

-- name: forget
-- Rows of what will be indexed anew, or no longer: $1 rids.
with dates as (delete from date_of where rid = any($1::bigint[])),
     strings as (delete from string_of where rid = any($1::bigint[]))
delete from measure_of where rid = any($1::bigint[]);

-- name: forget_standing
-- What resources that are replaced or deleted said of access: $1 rids.
with relations as (delete from relation where rid = any($1::bigint[])),
     blocks as (delete from block where rid = any($1::bigint[])),
     mandates as (delete from mandate where rid = any($1::bigint[])),
     names as (delete from known where rid = any($1::bigint[])),
     births as (delete from born where rid = any($1::bigint[])),
     links as (delete from same_person where rid = any($1::bigint[])),
     subjects as (delete from about where rid = any($1::bigint[]))
delete from sharer where rid = any($1::bigint[]);

-- name: parameters
select name, code from parameter;

-- name: add_parameters
-- $1 names; only where some are missing, for a number that is not used is lost.
insert into parameter (name) select unnest($1::text[]) order by 1 on conflict do nothing;

-- name: made_by
select made_by, upto from search_index;

-- name: is_empty
select not exists (select from resource);

-- name: making
-- Note by what the rows are made, and how far: $1 fingerprint, $2 rid; null is all of them.
insert into search_index (made_by, upto) values ($1, $2)
    on conflict (one) do update set made_by = excluded.made_by, upto = excluded.upto;

-- name: next
-- The next resources to be indexed again, held: $1 above this rid, $2 how many.
select rid, type, id, deleted, body from resource where rid > $1 order by rid limit $2 for update;

-- name: indexed
-- $1 rids and their columns, in the order of rows.RESOURCE_COLUMNS; tokens as texts of arrays, for arrays of arrays
-- would have to be of one length.
update resource r
   set patient = n.patient, code = n.code, low = n.low, high = n.high, own = n.own, present = n.present,
       tokens = n.tokens::bigint[]
  from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::bigint[],
              $8::text[]) as n (rid, patient, code, low, high, own, present, tokens)
 where r.rid = n.rid;
