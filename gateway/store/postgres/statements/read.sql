-- Reading by id: current versions, old ones, history.

-- name: current
-- $1 types, $2 ids; `place` is the place in the arrays.
select asked.place, r.version, r.updated, r.deleted, r.lane, r.body, m.receipt
  from unnest($1::smallint[], $2::text[]) with ordinality as asked (type, id, place)
  join resource r on r.type = asked.type and r.id = asked.id
  join message m on m.seq = r.message;

-- name: version
-- $1 type, $2 id, $3 version.
select v.version, v.updated, v.deleted, v.lane, v.body, m.receipt
  from (
    select version, updated, deleted, lane, body, message from resource where type = $1 and id = $2 and version = $3
    union all
    select version, updated, deleted, lane, body, message from version where type = $1 and id = $2 and version = $3
  ) v join message m on m.seq = v.message;

-- name: history
-- $1 type, $2 id, $3 versions below this one, $4 how many. Newest first; `total` counts all versions (they have no gaps).
select v.version, v.updated, v.deleted, v.lane, v.body, m.receipt,
       (select version from resource where type = $1 and id = $2) as total
  from (
    select version, updated, deleted, lane, body, message from resource where type = $1 and id = $2 and version < $3
    union all
    (select version, updated, deleted, lane, body, message from version
      where type = $1 and id = $2 and version < $3 order by version desc limit $4)
  ) v join message m on m.seq = v.message
 order by v.version desc limit $4;

-- name: total
select version from resource where type = $1 and id = $2;
