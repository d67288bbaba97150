-- What has been changed since the first page of a search (search_snapshot.py). A first version costs nothing here.
create index resource_changed on resource (type, updated) where version > 1 and not deleted;
