-- Who may see what: facts that resources state, written in the same transaction as the resource (gateway/search/standing.py
-- says which). `rid` is the resource that states a fact; patients, agents and resources are the hashes of search.indexed.

-- An organisation treats a patient: encounters, episodes of care, referrals, the general practitioner.
create table relation (
  rid          bigint      not null,
  patient      bigint      not null,
  organisation bigint      not null,
  starts       timestamptz not null,
  ends         timestamptz not null,
  category     smallint    not null   -- standing.Category: 1 (A+) is the surest
);
create index relation_rid on relation (rid);
create index relation_patient on relation (patient, organisation);
create index relation_organisation on relation (organisation, patient);

-- A spærring (Consent that denies): what of a patient's data professionals, or one of them, do not see.
create table block (
  rid      bigint      not null,
  patient  bigint      not null,
  starts   timestamptz not null,
  ends     timestamptz not null,
  actor    bigint,                    -- whom it shuts out; null: every professional
  low      timestamptz,               -- data of this period; null: of all times
  high     timestamptz,
  source   bigint,                    -- data of this organisation and its parts; null: of all
  document bigint                     -- resource.own of one resource; null: all
);
create index block_rid on block (rid);
create index block_patient on block (patient);

-- Somebody may see a patient's data: fuldmagt, custody, agreement (standing.Power).
create table mandate (
  rid     bigint      not null,
  patient bigint      not null,
  actor   bigint      not null,
  starts  timestamptz not null,
  ends    timestamptz not null,
  type    smallint,                   -- null: every type
  power   text        collate "C" not null
);
create index mandate_rid on mandate (rid);
create index mandate_patient on mandate (patient, actor);

-- Who goes by `name` goes by `also`: identifiers and resources, parts and wholes.
create table known (
  rid  bigint not null,
  name bigint not null,
  also bigint not null
);
create index known_rid on known (rid);
create index known_name on known (name, also);
create index known_also on known (also, name);

create table born (
  rid     bigint not null,
  patient bigint not null,
  day     date   not null
);
create index born_rid on born (rid);
create index born_patient on born (patient);

-- Further patients in whose record a resource is, beside resource.patient.
create table sharer (
  rid     bigint not null,
  patient bigint not null
);
create index sharer_rid on sharer (rid);

-- Everything that these go by: their resources, the wholes that they are part of.
create function goes_by(names bigint[]) returns bigint[] language sql stable parallel safe as $$
  with recursive found (key) as (
    select unnest(names) union select k.also from known k join found f on k.name = f.key
  ) select array_agg(key) from found
$$;
-- Everything that goes by one of these: their resources, the parts of them.
create function stands_for(names bigint[]) returns bigint[] language sql stable parallel safe as $$
  with recursive found (key) as (
    select unnest(names) union select k.name from known k join found f on k.also = f.key
  ) select array_agg(key) from found
$$;
