-- Searching by the main date without a patient or a code: the type's own order, and intervals too long for it.
create index resource_type_low on resource (type, low desc nulls last, rid desc) where not deleted;
create index resource_long on resource (type, high) where not deleted and high - low > interval '32 days';
