-- Who is logged in (gateway/store/sessions.py). A session that ended is a row with `ended`, until it would have expired.
create table login_session (
  id      text        collate "C" primary key,    -- what tokens name it by
  secret  bytea       not null unique,            -- SHA-256 of what the cookie holds
  idp     text        collate "C" not null,
  subject text        collate "C" not null,       -- keyed hash of (issuer, sub)
  broker  bytea       not null,                   -- keyed hash of the broker's own session id; empty where it has none
  sealed  bytea       not null,                   -- the log-in, encrypted
  began   timestamptz not null,
  seen    timestamptz not null,
  expires timestamptz not null,
  ended   timestamptz
) with (fillfactor = 80);
create index login_session_broker on login_session (idp, broker) where broker <> '';
create index login_session_subject on login_session (idp, subject);
create index login_session_expires on login_session (expires);

-- What may happen once, and what has ended before it began: logout tokens' jti, codes of the local issuer, broker sessions.
create table login_once (
  what  bytea       primary key,
  until timestamptz not null
);
create index login_once_until on login_once (until);
