-- Feeds that their rejection limit has stopped, until a person lets them go on.
create table feed_stop (
  feed text        collate "C" primary key,
  why  text        not null,
  at   timestamptz not null default now()
);
