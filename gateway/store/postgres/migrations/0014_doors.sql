-- Log-ins that end are on record (gateway/identity/login/endings.py): how one ended, and whether that is written down.
alter table login_session
  add column way      text collate "C",           -- person, provider, replaced, time; null while it goes on
  add column recorded boolean not null default false;
update login_session set recorded = true where ended is not null or expires <= now();
create index login_session_unrecorded on login_session (ended) where ended is not null and not recorded;
