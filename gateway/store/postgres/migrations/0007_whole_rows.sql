-- Rows of 2 to 4 kB (a Provenance of twenty targets, a report of fifteen results) stay whole and uncompressed: pglz took more
-- of the server's time than it saved, at every write and again when the outbox is read.
alter table resource set (toast_tuple_target = 4080);
alter table version set (toast_tuple_target = 4080);
