-- Whom somebody may act for, which a log-in asks (statements/standing.sql).
create index mandate_actor on mandate (actor);
