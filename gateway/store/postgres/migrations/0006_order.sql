-- The order of application (gateway/store/order.py). One row says which book is kept; its lock, taken last and held until
-- the commit, makes the order of numbers the order of commits.
create table order_book (
  last    bigint not null default 0,
  name    text   collate "C" not null default '',  -- '': none yet
  follows text   collate "C" not null default '',  -- the book that is repeated before this store begins its own
  single  boolean primary key default true check (single)
) with (fillfactor = 20);

-- What is to be published: entries, and as number 0 the opening of the book.
create table order_entry (
  number bigint primary key,
  entry  bytea  not null
) with (autovacuum_vacuum_scale_factor = 0.02);

-- Enter a transaction in the book; the last thing it does. Answers whether what it read and did not lock is still so, as
-- of this place in the order: rows by rid and the xmin they were read with, envelopes that no letter had come in but the one.
create function enter_order(entered bytea, rids bigint[], stored text[], envelopes bytea[], letters bytea[])
returns boolean language plpgsql as $$
declare
  number bigint;
begin
  update order_book set last = last + (name <> '')::integer returning case when name <> '' then last end into number;
  if number is not null then
    insert into order_entry values (number, entered);
  end if;
  -- Each statement of a function sees what had been committed when it began: here, everything with a lower number.
  return not exists (
    select from unnest(rids, stored) as read (rid, stored)
      left join resource r on r.rid = read.rid where r.xmin::text is distinct from read.stored
  ) and not exists (
    select from unnest(envelopes, letters) as read (envelope, letter)
      join message m on m.envelope = read.envelope and m.letter <> read.letter
     where m.xmin <> pg_current_xact_id()::xid
  );
end $$;

-- A store that has applied something before it kept a book begins one here; an empty one first looks for one to repeat.
insert into order_book (name)
select case when exists (select from position where grp = 'translate' and next_offset > 0)
            then current_schema() || '-' || substr(md5(random()::text || clock_timestamp()::text), 1, 8) else '' end;
insert into order_entry
select 0, convert_to(json_build_object('book', name, 'after', null)::text, 'utf8') from order_book where name <> '';
