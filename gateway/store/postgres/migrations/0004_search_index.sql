-- All of FHIR search: what joins, strings, quantities, what is missing. Rows that an older layout indexed are indexed
-- again before anybody searches (search_index, gateway/store/postgres/reindex.py). docs/explanation/store.md has the reasons.

alter table resource add column own bigint;                       -- search.query.own('Type/id'); null in a tombstone
alter table resource add column present bigint not null default 0; -- a bit a parameter that has a value: `:missing`
create index resource_own on resource (own) where own is not null;

-- Search parameters that have rows below, as small numbers. Numbers never change: they stand in rows.
create table parameter (
  code smallint generated always as identity primary key,
  name text collate "C" not null unique
);

-- Units of quantities, written once each. New ones are added under a lock, so that numbers are in order of commit and
-- whoever knows all up to one number has missed none below it.
create table unit (
  hash    bigint  not null unique,   -- of the three
  code    integer primary key,
  system  text    collate "C" not null,
  symbol  text    collate "C" not null,
  display text    collate "C" not null
);

-- `edge` says whether a row is the least (1) or greatest (2) of its parameter in its resource, or both (3): what the
-- resource is sorted by. Without it every row of a walk in order would be looked up again.

-- Date parameters beside the main one.
drop table date_of;
create table date_of (
  rid       bigint      not null,
  low       timestamptz not null,
  high      timestamptz not null,
  type      smallint    not null,
  parameter smallint    not null,
  edge      smallint    not null
);
create index date_of_rid on date_of (rid);
create index date_of_range on date_of (type, parameter, low, rid);

-- Strings, and addresses for `:below`. `key` is what the index holds: the first 64 characters of the folded text.
create table string_of (
  rid       bigint   not null,
  type      smallint not null,
  parameter smallint not null,
  edge      smallint not null,
  key       text     collate "C" not null,
  folded    text     collate "C",          -- null where `key` is all of it
  exact     text     collate "C"           -- as written; null where that is the same as folded
);
create index string_of_rid on string_of (rid);
create index string_of_key on string_of (type, parameter, key, rid);

-- Numbers and quantities: what they mean is [low, high]. One that is open above has an infinite high; one that is open
-- below has its upper end in low, by which it is sorted, and says so in edge (4).
create table measure_of (
  rid       bigint   not null,
  unit      integer  not null,             -- 0: a number, which has none
  type      smallint not null,
  parameter smallint not null,
  edge      smallint not null,
  low       numeric  not null,
  high      numeric                        -- null where that is the same
);
create index measure_of_rid on measure_of (rid);
create index measure_of_low on measure_of (type, parameter, unit, low, rid);
create index measure_of_wide on measure_of (type, parameter, unit, high) where high is not null;
create index measure_of_open on measure_of (type, parameter, unit) where edge >= 4;

-- How the rows are indexed: by which layout and table of parameters, and how far a re-indexing has come.
create table search_index (
  one     boolean primary key default true check (one),
  made_by bytea  not null,
  upto    bigint                           -- indexed again up to this rid; null: all
);
