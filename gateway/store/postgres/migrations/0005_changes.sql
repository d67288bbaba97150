-- History of a type and of the whole store walks (type, updated): deletions included, superseded versions too.
drop index resource_updated;
create index resource_updated on resource (type, updated, rid);
create index version_updated on version (type, updated);
-- `message` is 0 where the API made a version: no message row, no Provenance.
