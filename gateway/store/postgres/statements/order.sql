-- The order of application: which book this store keeps, and what of it is to be published.

-- name: enter
-- $1 the entry; what was read and not locked: $2 rids, $3 their xmin; $4 envelopes, $5 the letters they came around.
select enter_order($1, $2, $3, $4, $5);

-- name: unused
-- After `enter`, under its lock: $1 letters that no message stood for; whether that is still so.
select not exists (select from message where letter = any($1::bytea[]) and first);

-- name: book
select name, follows, last from order_book;

-- name: follow
-- $1 the book to repeat; the first one stands.
update order_book set follows = $1 where name = '' and follows = '';

-- name: begin
-- $1 the name of the book, $2 its opening.
with begun as (update order_book set name = $1, last = 0 where name = '' returning true)
insert into order_entry select 0, $2 from begun;

-- name: lost
-- $1 the book that reaches further than this store: what is still to be published of it has been, before the loss.
with repeated as (update order_book set name = '', follows = $1, last = 0 where name = $1 returning true)
delete from order_entry where exists (select from repeated);

-- name: entries
-- $1 how many.
select b.name, e.number, e.entry from order_entry e, order_book b order by e.number limit $1;

-- name: published
-- $1 the last number, $2 epoch; returns a row where the lease is still held.
with held as (
  select from position where grp = 'publish-order' and epoch = $2 and expires > clock_timestamp() for update
), gone as (
  delete from order_entry where number <= $1 and exists (select from held)
)
select true from held;
