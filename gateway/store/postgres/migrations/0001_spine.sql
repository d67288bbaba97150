-- The store, first layout. Measured choices: docs/explanation/store.md. `{schema}` is the search_path here.
-- A type is a small number (resource_type below); times are timestamptz; bodies are complete JSON, ready to send.

create table resource_type (code smallint primary key, name text not null unique);

-- current versions, one row a resource, tombstones included
create table resource (
  rid      bigint generated always as identity,
  type     smallint    not null,
  id       text        not null,
  version  integer     not null,
  updated  timestamptz not null,
  deleted  boolean     not null default false,
  lane     text        not null,
  patient  bigint,                        -- hash of the patient reference
  code     bigint,                        -- hash of the preferred coding's code
  low      timestamptz,                   -- the main date as an interval
  high     timestamptz,
  tokens   bigint[]    not null default '{}',
  digest   bytea       not null,          -- of the content, without version and time
  event    timestamptz not null,          -- when it happened: an older message does not overwrite
  state    jsonb,                         -- per element: who stated it and when (merged resources only)
  message  bigint      not null,          -- what made this version
  body     bytea       not null
) with (fillfactor = 95);

-- superseded versions
create table version (
  type smallint not null, id text not null, version integer not null, updated timestamptz not null,
  deleted boolean not null, lane text not null, message bigint not null, body bytea not null,
  primary key (type, id, version)
);

-- date parameters beside the main one
create table date_of (type smallint not null, parameter text not null, low timestamptz not null, high timestamptz not null, rid bigint not null);

-- every message ever applied: inbox (duplicate key), receipt, source position; (feed, letter) of first arrivals is unique
create table message (
  seq bigint generated always as identity primary key,
  feed text not null, receipt text not null, state text not null,
  letter bytea not null, envelope text, control_id text, duplicate_of bigint,
  topic text not null, part integer not null, at_offset bigint not null,
  received timestamptz not null, stored timestamptz not null,
  type text not null, sender text not null, lane text not null, mapping text not null, traceparent text not null,
  provenance text not null, reasons jsonb, reply bytea, reply_type text
);

create table position (grp text not null, topic text not null, part integer not null, next_offset bigint not null default 0,
  epoch bigint not null default 0, owner text not null default '', expires timestamptz not null default '-infinity', primary key (grp, topic, part));

create table outbox_head (part integer primary key, seq bigint not null, published bigint not null default 0, epoch bigint not null default 0);
create table outbox (
  part integer not null, seq bigint not null, type smallint not null, id text not null, version integer not null, lane text not null,
  at timestamptz not null, message bigint not null, reply_to text not null default '', primary key (part, seq)
);
