-- Which Patient records are one person (Patient.link), for the facts of access: what a relation, a spærring, a fuldmagt or a
-- birthday says of one of them, it says of the person (docs/explanation/access.md). Patients are keyed as in resource.patient.

-- Both ways of a link stand here, so that one index finds either; `mutual`: it counts where the other record says so too.
create table same_person (
  rid     bigint  not null,
  patient bigint  not null,
  other   bigint  not null,
  mutual  boolean not null
);
create index same_person_rid on same_person (rid);
create index same_person_patient on same_person (patient, other);

-- Every record of the person of one record, itself included. Most patients have no link: whoever asks for each of many rows
-- looks for one first (store/postgres/search_reach.py).
create function records_of(record bigint) returns bigint[] language sql stable parallel safe as $$
  with recursive found (key) as (
    select record union
    select s.other from same_person s join found f on s.patient = f.key
     where not s.mutual
        or exists (select from same_person o where o.patient = s.other and o.other = s.patient and o.mutual)
  ) select array_agg(key) from found
$$;
