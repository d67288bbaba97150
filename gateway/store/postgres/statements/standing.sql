-- What is asked of the facts of access (migration access) outside of a search; a search asks them within its own statement.

-- name: represented
-- The ids of the Patients for whom a citizen may act, every record of each: $1 keys of the citizen, $2 now, $3 custody is of
-- those born after this day, $4 how a patient's key and the key of his resource differ, $5 how many.
select distinct r.id from mandate m
  cross join lateral (select records_of(m.patient) as records) p
  join resource r on r.own in (select one # $4 from unnest(p.records) one)
   and r.type = (select code from resource_type where name = 'Patient')
 where m.actor = any((select goes_by($1::bigint[]))::bigint[]) and m.starts <= $2 and m.ends > $2 and not r.deleted
   and (m.power = 'fuldmagt'
        or (m.power = 'custody' and (select min(b.day) from born b where b.patient = any(p.records)) > $3))
 order by r.id limit $5;
