-- Receipts: what became of messages. A duplicate shows what its first arrival made and answered.

-- name: message
-- $1 receipt.
select m.feed, m.receipt, m.state, m.topic, m.part, m.at_offset, m.received, m.stored, m.type, m.mapping,
       coalesce(f.made, m.made) as made, coalesce(f.reasons, m.reasons) as reasons, coalesce(f.receipt, '') as first,
       coalesce(f.reply, m.reply) as reply, coalesce(f.reply_type, m.reply_type) as reply_type,
       m.provenance
  from message m left join message f on f.seq = m.duplicate_of
 where m.receipt = $1;

-- name: rejected
-- Messages of a feed with reasons, newest first: $1 feed, $2 how many, $3 below this receipt (null: from the newest).
select m.feed, m.receipt, m.state, m.topic, m.part, m.at_offset, m.received, m.stored, m.type, m.mapping, m.made,
       m.reasons, '' as first, m.reply, m.reply_type, m.provenance
  from message m
 where m.feed = $1 and m.reasons is not null
   and ($3::text is null or (m.stored, m.seq) < (select b.stored, b.seq from message b where b.receipt = $3))
 order by m.stored desc, m.seq desc limit $2;

-- name: made
-- Messages that made versions of a resource, oldest version first: $1 type, $2 id.
select m.feed, m.receipt, m.state, m.topic, m.part, m.at_offset, m.received, m.stored, m.type, m.mapping, m.made,
       m.reasons, '' as first, m.reply, m.reply_type, m.provenance
  from (
    select message, min(version) as version from (
      select message, version from resource where type = $1 and id = $2
      union all
      select message, version from version where type = $1 and id = $2
    ) versions group by message
  ) v join message m on m.seq = v.message
 order by v.version;

-- name: counts
select feed, sum(stored)::bigint as stored, sum(rejected)::bigint as rejected, sum(duplicate)::bigint as duplicate
  from feed_count group by feed order by feed;

-- name: journal
-- First arrivals in the order in which they were applied: $1 after this seq, $2 how many.
select m.feed, m.receipt, m.state, m.topic, m.part, m.at_offset, m.received, m.stored, m.type, m.mapping, m.made,
       m.reasons, '' as first, m.reply, m.reply_type, m.provenance
  from message m where m.first order by m.stored, m.seq;

-- name: stop_feed
-- $1 feed, $2 why; the first reason stands.
insert into feed_stop (feed, why) values ($1, $2) on conflict do nothing;

-- name: resume_feed
-- $1 feed.
delete from feed_stop where feed = $1;

-- name: stopped_feeds
select feed, why from feed_stop order by feed;
