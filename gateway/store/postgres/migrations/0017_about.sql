-- What a resource is about that exists for nobody who may not see all of that (Provenance, Binary): resource.own of each.
create table about (
  rid   bigint   not null,
  named bigint[] not null
);
create index about_rid on about (rid);
