-- name: put
-- Whatever works once: false when it is there already.
insert into grant_single (kind, key, body, expires) values ($1, $2, $3, $4)
on conflict (kind, key) do update set body = excluded.body, expires = excluded.expires where grant_single.expires <= $5
returning true;

-- name: peek
select body from grant_single where kind = $1 and key = $2 and expires > $3;

-- name: take
delete from grant_single where kind = $1 and key = $2 and expires > $3 returning body;

-- name: redeem
-- A code becomes a family and its first refresh token, or nothing at all happens: who deletes the row has won.
with taken as (
  delete from grant_single where kind = 'code' and key = $1 and expires > $2 returning 1
), family as (
  insert into grant_family (id, code, client, session, body, expires)
  select $3::uuid, $1, $4, $5, $6, $7 from taken
  returning id
), refresh as (
  insert into grant_refresh (key, family) select $8::bytea, id from family where $8::bytea is not null
)
select count(*) = 1 from family;

-- name: replayed
update grant_family set ended = $2 where code = $1 and ended is null;

-- name: refreshable
select f.id, f.client, f.session, f.body, f.expires, r.used is not null as used
  from grant_refresh r join grant_family f on f.id = r.family
 where r.key = $1 and f.ended is null and f.expires > $2;

-- name: rotate
with spent as (
  update grant_refresh r set used = $3 from grant_family f
   where r.key = $1 and r.used is null and f.id = r.family and f.ended is null and f.expires > $3
  returning r.family
), fresh as (
  insert into grant_refresh (key, family) select $2::bytea, family from spent returning 1
)
select count(*) = 1 from fresh;

-- name: end_family
update grant_family set ended = $2 where id = $1 and ended is null;

-- name: end_session
update grant_family set ended = $2 where session = $1 and ended is null;

-- name: end_token
insert into grant_revoked (token, expires) values ($1, $2) on conflict do nothing;

-- name: stands
-- A family that is not there has been cleaned away: it is over.
select not exists (select from grant_revoked where token = $1)
   and ($2::uuid is null or exists (select from grant_family where id = $2 and ended is null and expires > $3));

-- name: keys
select number, algorithm, kid, sealed, begins from signing_key order by number, algorithm;

-- name: add_key
insert into signing_key (number, algorithm, kid, sealed, begins) values ($1, $2, $3, $4, $5) on conflict do nothing;

-- name: drop_keys
delete from signing_key where number < $1;

-- name: failures
-- $1 who, $2 now.
select times from failure where who = $1 and until > $2;

-- name: failed
-- $1 who, $2 now, $3 until when a first failure counts.
insert into failure (who, times, until) values ($1, 1, $3)
on conflict (who) do update set
  times = case when failure.until > $2 then failure.times + 1 else 1 end,
  until = case when failure.until > $2 then failure.until else $3 end;

-- name: sweep
with single as (delete from grant_single where expires <= $1),
     revoked as (delete from grant_revoked where expires <= $1),
     failures as (delete from failure where until <= $1)
delete from grant_family where expires <= $1;
