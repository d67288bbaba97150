-- What is asked of the facts of access (migration access) outside of a search; a search asks them within its own statement.

-- name: represented
-- The ids of the Patients for whom a citizen may act: $1 keys of the citizen, $2 now, $3 custody is of those born after this
-- day, $4 how a patient's key and the key of his resource differ, $5 how many.
select distinct r.id from mandate m
  join resource r on r.own = m.patient # $4 and r.type = (select code from resource_type where name = 'Patient')
 where m.actor = any((select goes_by($1::bigint[]))::bigint[]) and m.starts <= $2 and m.ends > $2 and not r.deleted
   and (m.power = 'fuldmagt'
        or (m.power = 'custody' and exists (select from born b where b.patient = m.patient and b.day > $3)))
 order by r.id limit $5;
