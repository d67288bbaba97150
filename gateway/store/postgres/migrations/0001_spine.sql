-- The store's first layout. Runs in the schema that the settings name (search_path), in one transaction.
-- Measured choices: docs/explanation/store.md. Bodies are complete JSON, ready to send; a body is stored once: here
-- while it is current, in `version` when it has been superseded; the outbox only points at it.
-- Columns stand widest first: PostgreSQL pads between them otherwise.

-- Numbers for rid and message.seq, handed out a thousand at a time, so that rows can be made before the first insert.
create sequence resource_rid increment by 1000;
create sequence message_seq increment by 1000;

-- Resource types as small numbers. Numbers never change: they stand in rows and in two-column keys.
create table resource_type (
  code smallint primary key,
  name text not null unique
);

-- Current versions, one row a resource, tombstones included (deleted: no tokens, no date, empty body).
create table resource (
  rid      bigint      not null,  -- the row's number, the same through all versions; ties in sort orders
  updated  timestamptz not null,  -- meta.lastUpdated, whole milliseconds; never goes backwards for one resource
  patient  bigint,                -- search.query.reference('patient', 'Patient/…')
  code     bigint,                -- search.query.token('code', null, code) of the coding most questions name
  low      timestamptz,           -- the main date of the type, as the interval [low, high)
  high     timestamptz,
  event    timestamptz not null,  -- (event, received, line) is what a PUT must not be below to replace this content:
  received timestamptz not null,  --   when it happened, when the message was received,
  line     bigint      not null,  --   and which feed and lane it came by
  message  bigint      not null,  -- the message that made this version
  version  integer     not null,  -- from 1, without gaps
  type     smallint    not null,
  deleted  boolean     not null,
  id       text        collate "C" not null,
  lane     text        collate "C" not null,  -- '' for what belongs to nobody
  digest   bytea       not null,  -- of the content, without version and time
  tokens   bigint[]    not null,  -- every token and reference of every search parameter, hashed
  state    json,                  -- per element: who stated it and when (merged resources only; fhir.merge reads it)
  body     bytea       not null,
  primary key (rid)
) with (fillfactor = 95, autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

create unique index resource_id on resource (type, id);
-- What has order needs a B-tree that ends in the sort key; an array under GIN has none (docs/explanation/store.md).
create index resource_patient_type on resource (patient, type, low desc nulls last, rid desc) where patient is not null;
create index resource_patient_code on resource (patient, code, low desc nulls last, rid desc) where patient is not null and code is not null;
create index resource_type_code on resource (type, code, low desc nulls last, rid desc) where code is not null;
create index resource_updated on resource (type, updated, rid) where not deleted;
-- New entries wait in a short list and go into the tree together: half the log volume and 1.5 times the rows a second
-- of fastupdate = off. The list is short because a reader looks through it, and because whoever fills it up empties it:
-- with the default of 4 MB one unlucky writer stood still for seconds, with this one for about a batch's own time.
create index resource_tokens on resource using gin (tokens) with (fastupdate = on, gin_pending_list_limit = 256);

-- Date parameters beside the main one.
create table date_of (
  rid       bigint      not null,
  low       timestamptz not null,
  high      timestamptz not null,
  type      smallint    not null,
  parameter text        collate "C" not null
);
create index date_of_rid on date_of (rid);
create index date_of_range on date_of (type, parameter, low, rid);

-- Superseded versions.
create table version (
  updated timestamptz not null,
  message bigint      not null,
  version integer     not null,
  type    smallint    not null,
  deleted boolean     not null,
  id      text        collate "C" not null,
  lane    text        collate "C" not null,
  body    bytea       not null,
  primary key (type, id, version)
);

-- Every message ever applied: inbox (duplicate rule), receipt, and where its raw record stands.
-- letter, envelope and control are BLAKE2b of (feed, what the sender wrote), 16 bytes: they may hold a person's number.
create table message (
  seq          bigint      not null,
  received     timestamptz not null,
  stored       timestamptz not null,
  at_offset    bigint      not null,
  duplicate_of bigint,               -- the first message with this letter
  part         integer     not null,
  first        boolean     not null, -- the message that its letter stands for: no duplicate, no reused envelope
  feed         text        collate "C" not null,
  receipt      text        collate "C" not null,
  state        text        not null,
  letter       bytea       not null,
  envelope     bytea,
  control      bytea,
  topic        text        collate "C" not null,
  type         text        not null,
  sender       text        not null,
  lane         text        collate "C" not null,
  mapping      text        not null,
  traceparent  text        not null,
  provenance   text        not null, -- id of its Provenance, or ''
  made         text[]      not null, -- 'Type/id' of what it wrote, Provenance aside
  reasons      json,                 -- null where nothing was rejected
  reply        bytea,
  reply_type   text        not null,
  primary key (seq)
) with (autovacuum_vacuum_insert_scale_factor = 0.1);
create unique index message_receipt on message (receipt);
create unique index message_letter on message (letter) where first;
create unique index message_envelope_first on message (envelope) where first and envelope is not null;
create index message_envelope on message (envelope) where envelope is not null;
create index message_control on message (control) where control is not null;
create index message_rejected on message (feed, stored desc, seq desc) where reasons is not null;

-- Messages by state, counted a row per feed and source partition: two workers never wait for the same row.
create table feed_count (
  stored    bigint  not null default 0,
  rejected  bigint  not null default 0,
  duplicate bigint  not null default 0,
  part      integer not null,
  feed      text    collate "C" not null,
  primary key (feed, part)
) with (fillfactor = 50);

-- Reading positions, and the lease under which a worker may move one. (publish, outbox) is the publisher's.
create table position (
  next_offset bigint      not null default 0,
  epoch       bigint      not null default 0,
  expires     timestamptz not null default '-infinity',
  part        integer     not null,
  grp         text        collate "C" not null,
  topic       text        collate "C" not null,
  owner       text        not null default '',
  primary key (grp, topic, part)
) with (fillfactor = 50);

-- What is to be published. seq counts from 1 without gaps in commit order: its row in outbox_head is locked from the
-- moment numbers are taken until the commit, so nobody can see number n before every number below n.
create table outbox_head (
  seq  bigint  not null default 0,
  part integer primary key
) with (fillfactor = 50);
create table outbox (
  seq     bigint   not null,
  message bigint   not null,
  part    integer  not null,
  version integer  not null,           -- 0: the reply of `message` is to be sent
  type    smallint not null,
  id      text     collate "C" not null,
  primary key (part, seq)
) with (autovacuum_vacuum_scale_factor = 0.02);

-- FHIR R4 (4.0.1), all 146 resource types, in the order of their names; then what R4B (4.3.0) added.
insert into resource_type (code, name)
select place, name from regexp_split_to_table(
  'Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic
   Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry
   ChargeItem ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication
   CommunicationRequest CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage
   CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric
   DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis
   Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition Evidence
   EvidenceVariable ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag Goal GraphDefinition Group
   GuidanceResponse HealthcareService ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation
   ImplementationGuide InsurancePlan Invoice Library Linkage List Location Measure MeasureReport Media Medication
   MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement
   MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication
   MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
   MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
   MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition
   OperationOutcome Organization OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation
   Person PlanDefinition Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse
   RelatedPerson RequestGroup ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject
   RiskAssessment RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition
   StructureDefinition StructureMap Subscription Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein
   SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task
   TerminologyCapabilities TestReport TestScript ValueSet VerificationResult VisionPrescription
   AdministrableProductDefinition Citation ClinicalUseDefinition EvidenceReport Ingredient
   ManufacturedItemDefinition MedicinalProductDefinition NutritionProduct PackagedProductDefinition
   RegulatedAuthorization SubscriptionStatus SubscriptionTopic SubstanceDefinition', '\s+') with ordinality as named (name, place);
