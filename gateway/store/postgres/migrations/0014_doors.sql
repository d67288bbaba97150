-- Log-ins that end are on record (gateway/identity/login/endings.py): how one ended, and whether that is written down.
alter table login_session
  add column way      text collate "C",           -- person, provider, replaced, time; null while it goes on
  add column recorded boolean not null default false;
update login_session set recorded = true where ended is not null or expires <= now();
create index login_session_unrecorded on login_session (ended) where ended is not null and not recorded;

-- Failures at the doors, counted by all processes together (gateway/identity/attempts.py). Unlogged: a failure costs no
-- wait for the disk, and what a crash forgets is a minute's count.
create unlogged table failure (
  who   bytea       primary key,                  -- keyed hash of who failed at what
  times integer     not null,
  until timestamptz not null                      -- when these no longer count
) with (fillfactor = 70);
create index failure_until on failure (until);

-- What a block's reference to its chain cost was a look and a lock of the chain's row with every commit. Chains are never
-- deleted (audit_refuse), and `verify` misses one that is.
alter table audit_block drop constraint audit_block_chain_fkey;
