-- What the authorization server keeps (gateway/store/grants.py). No token and no code stands here, only their SHA-256; whom
-- an authorization is for stands in its body, as tokens say it: no person's number.

-- What works once: codes, pushed requests, launches, requests under way in a browser, ids of assertions and proofs.
create table grant_single (
  kind    text  collate "C" not null,
  key     bytea not null,
  body    bytea not null,
  expires timestamptz not null,
  primary key (kind, key)
);
create index grant_single_expires on grant_single (expires);

-- One authorization that a code was given for, and all tokens that come of it. It ends as one.
create table grant_family (
  id      uuid primary key,
  code    bytea not null unique,
  client  text  collate "C" not null,
  session text  collate "C" not null,
  body    bytea not null,
  expires timestamptz not null,
  ended   timestamptz
);
create index grant_family_session on grant_family (session) where session <> '';
create index grant_family_expires on grant_family (expires);

-- Refresh tokens. A used one stays: who shows it again ends the family.
create table grant_refresh (
  key    bytea primary key,
  family uuid not null references grant_family on delete cascade,
  used   timestamptz
);
create index grant_refresh_family on grant_refresh (family);

-- Access tokens that were revoked by themselves, until they would have expired.
create table grant_revoked (
  token   text collate "C" primary key,
  expires timestamptz not null
);

-- Signing keys by generation; the private half is sealed under the gateway's secret.
create table signing_key (
  number    integer not null,
  algorithm text collate "C" not null,
  kid       text collate "C" not null unique,
  sealed    bytea not null,
  begins    timestamptz not null,
  primary key (number, algorithm)
);
