-- The dictionary of words: which tokens tell that a word stands in a text of a resource (gateway/search/words.py). A row
-- for each word of each code's displays, and for each word of other texts; not a row for each resource. Rows are only
-- ever added, beside the transaction that needs them: one that no resource needs hurts nobody. No word in it has more
-- than three digits, but for codes of terminologies.
create table word (
  token     bigint   not null,
  type      smallint not null,
  parameter smallint not null,  -- 0: of a text that no code stands for
  word      text     collate "C" not null,
  primary key (type, word, parameter, token)
);

-- What is counted by its code is counted by the index alone: that a resource is not deleted is said by its predicate.
drop index if exists resource_type_code;
create index resource_type_code on resource (type, code, low desc nulls last, rid desc) where code is not null and not deleted;
