-- The dictionary of words.

-- name: learn
-- $1 types, $2 parameters, $3 words, $4 tokens, in the order of all four.
insert into word (type, parameter, word, token)
select * from unnest($1::smallint[], $2::smallint[], $3::text[], $4::bigint[])
    on conflict do nothing;

-- name: tokens
-- $1 type; $2 words, $3 what is behind all that begin so; $4 parameters, none for any; $5 at most so many for each word.
select asked.place, found.parameter, found.token
  from unnest($2::text[], $3::text[]) with ordinality as asked (low, high, place)
 cross join lateral (select w.parameter, w.token from word w
                      where w.type = $1 and w.word >= asked.low and w.word < asked.high
                        and (cardinality($4::smallint[]) = 0 or w.parameter = any($4))
                      limit $5) found;
