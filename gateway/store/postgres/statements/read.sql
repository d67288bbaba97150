-- Reading by id: current versions, old ones, history; and what changed. A version that the API wrote has no message (0,
-- or -1 where it was created under an id of the server's): its receipt is ''.

-- name: current
-- $1 types, $2 ids; `place` is the place in the arrays.
select asked.place, r.version, r.updated, r.deleted, r.lane, r.patient, r.body, coalesce(m.receipt, '') as receipt
  from unnest($1::smallint[], $2::text[]) with ordinality as asked (type, id, place)
  join resource r on r.type = asked.type and r.id = asked.id
  left join message m on m.seq = r.message;

-- name: version
-- $1 type, $2 id, $3 version.
select v.version, v.updated, v.deleted, v.lane, v.patient, v.body, coalesce(m.receipt, '') as receipt
  from (
    select version, updated, deleted, lane, patient, body, message from resource where type = $1 and id = $2 and version = $3
    union all
    select version, updated, deleted, lane, patient, body, message from version where type = $1 and id = $2 and version = $3
  ) v left join message m on m.seq = v.message;

-- name: history
-- $1 type, $2 id, $3 versions below this one, $4 how many. Newest first; `total` counts all versions (they have no gaps).
select v.version, v.updated, v.deleted, v.lane, v.patient, v.body, coalesce(m.receipt, '') as receipt,
       v.message = -1 as posted,
       (select version from resource where type = $1 and id = $2) as total
  from (
    select version, updated, deleted, lane, patient, body, message from resource where type = $1 and id = $2 and version < $3
    union all
    (select version, updated, deleted, lane, patient, body, message from version
      where type = $1 and id = $2 and version < $3 order by version desc limit $4)
  ) v left join message m on m.seq = v.message
 order by v.version desc limit $4;

-- name: total
select version from resource where type = $1 and id = $2;

-- name: changes
-- Versions of all resources of some types, newest first: $1 types, $2 not older than this, $3 to $6 below this
-- (updated, type, id, version), $7 how many. A walk of its own for each type, in the order of an index.
select t.name as type, v.id, v.version, v.updated, v.deleted, v.lane, v.patient, v.body, coalesce(m.receipt, '') as receipt,
       v.message = -1 as posted
  from resource_type t
 cross join lateral (
    (select updated, id, version, deleted, lane, patient, body, message from resource
      where type = t.code and updated between $2 and $3 and (updated, type, id, version) < ($3, $4, $5, $6)
      order by updated desc, id desc, version desc limit $7)
    union all
    (select updated, id, version, deleted, lane, patient, body, message from version
      where type = t.code and updated between $2 and $3 and (updated, type, id, version) < ($3, $4, $5, $6)
      order by updated desc, id desc, version desc limit $7)
  ) v
  left join message m on m.seq = v.message
 where t.code = any($1::smallint[])
 order by v.updated desc, t.code desc, v.id desc, v.version desc limit $7;
