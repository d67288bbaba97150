-- Log-ins. Times come from the caller's clock, as everywhere in this gateway.

-- name: ended_before
-- Whether a broker has ended one of these sessions already: $1 keys of login_once, $2 now.
select what from login_once where what = any($1::bytea[]) and until > $2;

-- name: end_secret
-- $1 SHA-256 of a cookie, $2 now.
update login_session set ended = $2, way = 'replaced' where secret = $1 and ended is null;

-- name: begin
-- $1 id, $2 secret, $3 idp, $4 subject, $5 broker, $6 sealed, $7 now, $8 expires.
insert into login_session (id, secret, idp, subject, broker, sealed, began, seen, expires)
values ($1, $2, $3, $4, $5, $6, $7, $7, $8);

-- name: of_secret
-- $1 SHA-256 of a cookie, $2 now, $3 seen at this moment or later.
select id, idp, subject, broker, sealed, began, seen, expires from login_session
 where secret = $1 and ended is null and expires > $2 and seen >= $3;

-- name: of_id
-- $1 id, $2 now, $3 seen at this moment or later.
select seen from login_session where id = $1 and ended is null and expires > $2 and seen >= $3;

-- name: touch
-- $1 id, $2 now.
update login_session set seen = greatest(seen, $2) where id = $1 and ended is null;

-- name: end
-- $1 id, $2 now, $3 how.
update login_session set ended = $2, way = $3 where id = $1 and ended is null;

-- name: end_unborn
-- $1 id, $2 now: nobody was given it.
update login_session set ended = $2, way = 'provider', recorded = true where id = $1;

-- name: end_by_time
-- $1 now, $2 seen at this moment or later.
update login_session set ended = least(expires, $1), way = 'time'
 where ended is null and (expires <= $1 or seen < $2);

-- name: unrecorded
-- $1 how many at most. What another process is writing down is left to it.
select id, idp, sealed, way from login_session
 where ended is not null and not recorded order by ended limit $1 for update skip locked;

-- name: unrecorded_of
-- $1 ids.
select id, idp, sealed, way from login_session
 where id = any($1::text[]) and ended is not null and not recorded for update skip locked;

-- name: recorded
-- $1 ids.
update login_session set recorded = true where id = any($1::text[]);

-- name: end_by_broker
-- $1 idp, $2 broker ('' for any), $3 subject ('' for any), $4 now. One of $2, $3 is given.
update login_session set ended = $4, way = 'provider'
 where idp = $1 and ended is null
   and ($2::bytea = '' or broker = $2) and ($3 = '' or subject = $3) and ($2::bytea <> '' or $3 <> '')
returning id;

-- name: once
-- $1 what, $2 until, $3 now: no row when it has happened before, and is not forgotten.
insert into login_once (what, until) values ($1, $2)
on conflict (what) do update set until = $2 where login_once.until <= $3
returning what;

-- name: forget
-- $1 now.
with sessions as (delete from login_session where recorded and expires < $1::timestamptz - interval '1 day')
delete from login_once where until < $1;
