-- Who was shown what of whom: the ledger (docs/explanation/audit.md), and what is registered in MinLog.

-- Whom a superseded version was about: as resource.patient. What was there before this file gets whom it is about now.
alter table version add column patient bigint;
update version v set patient = r.patient from resource r where r.type = v.type and r.id = v.id and r.patient is not null;

-- A chain is one process's, from its first record to its end: no two write to the same one, so nobody waits for another.
create table audit_chain (
  chain integer     generated always as identity primary key,
  name  uuid        not null unique default gen_random_uuid(),  -- its first link is made of it
  begun timestamptz not null default now()
);

-- One row a commit: the records `first` to `upto` of a chain, written at one moment. Lines of text, one a record:
--   events    what was done, JSON
--   personal  who, whose data: 32 hex digits of salt and JSON; once erased, - and the SHA-256 of what stood there, hex
--   hashes    32 bytes a record: SHA-256(hash before it || seq || at || SHA-256(its line of personal) || its line of events)
create table audit_block (
  first    bigint      not null,
  upto     bigint      not null,
  at       timestamptz not null,
  chain    integer     not null references audit_chain,
  patients bigint[]    not null,  -- search.query.reference('patient', 'Patient/…') of everybody whom a record concerns
  hashes   bytea       not null,
  events   bytea       not null,
  personal bytea       not null,
  primary key (chain, first),
  check (first > 0 and upto >= first and octet_length(hashes) = 32 * (upto - first + 1))
) with (autovacuum_vacuum_insert_scale_factor = 0.1);
create index audit_block_at on audit_block (at, chain, first);
-- As the index of tokens (0001): a short list of what waits, so that no writer stands still when it is emptied.
create index audit_block_patients on audit_block using gin (patients) with (fastupdate = on, gin_pending_list_limit = 256);

-- Signed states of chains: what a witness outside is told. body: one line of JSON (gateway/audit/checkpoint.py).
create table audit_checkpoint (
  upto   bigint      not null,
  at     timestamptz not null,
  number integer     not null,
  chain  integer     not null references audit_chain,
  closed boolean     not null,
  body   bytea       not null,
  primary key (chain, number)
);

-- Checkpoints that a witness has not acknowledged yet.
create table audit_unsent (
  at      timestamptz not null default now(),
  next    timestamptz not null default now(),
  chain   integer     not null,
  number  integer     not null,
  tries   integer     not null default 0,
  witness text        not null,
  primary key (chain, number, witness)
) with (fillfactor = 50);

-- As append-only as a database can make itself for whoever owns it: nothing is changed by mistake, and who does it on
-- purpose has to say so. What cannot be undone is what the witness knows.
create function audit_refuse() returns trigger language plpgsql as $$
declare
  act text := coalesce(current_setting('sundbro.audit_act', true), '');
begin
  if tg_op = 'DELETE' and act = 'retention' and tg_table_name = 'audit_block' then
    return old;
  end if;
  if tg_op = 'UPDATE' and act = 'erasure' and tg_table_name = 'audit_block' then
    if (new.chain, new.first, new.upto, new.at, new.hashes, new.events)
       is not distinct from (old.chain, old.first, old.upto, old.at, old.hashes, old.events) then
      return new;
    end if;
  end if;
  raise exception 'the audit ledger is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_append_only before update or delete on audit_block for each row execute function audit_refuse();
create trigger audit_append_only before update or delete on audit_checkpoint for each row execute function audit_refuse();
create trigger audit_append_only before update or delete on audit_chain for each row execute function audit_refuse();
create trigger audit_no_truncate before truncate on audit_block for each statement execute function audit_refuse();
create trigger audit_no_truncate before truncate on audit_checkpoint for each statement execute function audit_refuse();
create trigger audit_no_truncate before truncate on audit_chain for each statement execute function audit_refuse();

-- How far each chain has been looked through for what MinLog is to be told.
create table minlog_position (
  seq   bigint  not null default 0,
  chain integer primary key
) with (fillfactor = 50);

-- What is to be registered: looks of one professional at one person, of the same kind and on the same ground, that came
-- before it was sent are one entry.
create table minlog_entry (
  id      bigint      generated always as identity primary key,  -- SequenceNumber
  first   timestamptz not null,
  last    timestamptz not null,
  next    timestamptz not null,
  added   timestamptz not null default now(),
  patient bigint      not null,
  looks   integer     not null default 1,
  tries   integer     not null default 0,
  state   text        not null default 'waiting' check (state in ('waiting', 'sending', 'parked')),
  fault   text        not null default '',
  look    bytea       not null  -- JSON: gateway/audit/minlog.py
) with (fillfactor = 80);
create unique index minlog_entry_same on minlog_entry (patient, look) where state = 'waiting' and tries = 0;
create index minlog_entry_next on minlog_entry (next, id) where state <> 'parked';

-- Requests to MinLog of the last hour: at most so many are sent.
create table minlog_request (
  at timestamptz not null default now()
);
