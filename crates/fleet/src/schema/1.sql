-- Version 1. Run as meditopia_owner in a transaction; the schema meditopia exists and is empty.

-- One row: what this fleet is, and where.
CREATE TABLE meditopia.meta (
  one bool PRIMARY KEY DEFAULT true CHECK (one),
  version int NOT NULL,
  lanes smallint NOT NULL CHECK (lanes BETWEEN 1 AND 256),
  endpoint text NOT NULL,
  account text NOT NULL,
  utc_offset_minutes int NOT NULL CHECK (utc_offset_minutes BETWEEN -1080 AND 1080),
  max_event_bytes int NOT NULL CHECK (max_event_bytes BETWEEN 256 AND 1048576),
  system_identifier bigint NOT NULL,
  database name NOT NULL,
  hold jsonb
);

-- A host that forwards. Its row is made once, and its spool's row by the same statement.
CREATE TABLE meditopia.host (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  version text NOT NULL,
  first_seen timestamptz NOT NULL
);

-- How far the journal of a spool is forwarded. Every change of the row is a compare-and-set on its step, which
-- stands in the key: an old snapshot makes no chain of versions that a look-up has to walk.
CREATE TABLE meditopia.spool (
  id uuid NOT NULL,
  step bigint NOT NULL,
  offsets bytea NOT NULL,
  events bigint NOT NULL,
  behind_bytes bigint NOT NULL,
  behind_since_ms bigint,
  closed bool NOT NULL,
  seen timestamptz NOT NULL,
  PRIMARY KEY (id, step)
) WITH (fillfactor = 50);

-- Events that no relay has sorted yet: up to 100 of one spool in its order, or those of one call of enqueue.
-- slots: for each event the bytes of its fragment (4) and the wall time of its enqueue in ms (8), big-endian.
-- checksum: the first 8 bytes of the SHA-256 of slots and body.
CREATE SEQUENCE meditopia.parcel_id CACHE 1;
-- The transaction has its number before it draws the parcel's. So once every transaction that had a number at some
-- moment has ended, no parcel can appear any more whose number was drawn before that moment.
CREATE FUNCTION meditopia.next_parcel_id() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_catalog.pg_current_xact_id();
  RETURN pg_catalog.nextval('meditopia.parcel_id');
END
$$;
CREATE TABLE meditopia.parcel (
  id bigint PRIMARY KEY DEFAULT meditopia.next_parcel_id(),
  spool uuid,
  events smallint NOT NULL,
  body bytea NOT NULL,
  slots bytea NOT NULL,
  checksum bytea NOT NULL
) WITH (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000, toast.autovacuum_vacuum_cost_delay = 0
);

-- Parcels whose bytes do not fit their checksum. The sorter sets them aside, and only an operator removes one. An id
-- may come twice, if the database was set back in between.
CREATE TABLE meditopia.damaged_parcel (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  parcel bigint NOT NULL,
  spool uuid,
  events smallint NOT NULL,
  body bytea NOT NULL,
  slots bytea NOT NULL,
  checksum bytea NOT NULL,
  found timestamptz NOT NULL
);

-- Events that wait in a queue of a lane: 0 the regular one, 1 the suspects'. marks: a bit for each that has left.
CREATE TABLE meditopia.run (
  lane smallint NOT NULL,
  queue smallint NOT NULL CHECK (queue IN (0, 1)),
  id bigint NOT NULL,
  origin bigint NOT NULL,
  events smallint NOT NULL,
  body bytea NOT NULL,
  slots bytea NOT NULL,
  checksum bytea NOT NULL,
  marks bytea,
  PRIMARY KEY (lane, queue, id)
) WITH (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000, toast.autovacuum_vacuum_cost_delay = 0
);

-- What is known of a lane, and which relay owns it until when. lease is random, drawn with each lease.
-- No run before first_run waits in the regular queue, none before first_suspect_run in the suspects'.
-- last_suspect_run, last_rejected: the largest ids that an owner has given; no owner gives one again.
CREATE TABLE meditopia.lane (
  lane smallint NOT NULL,
  step bigint NOT NULL,
  lease uuid,
  owner uuid,
  lease_until timestamptz NOT NULL,
  first_run bigint NOT NULL,
  first_suspect_run bigint NOT NULL,
  last_suspect_run bigint NOT NULL,
  last_rejected bigint NOT NULL,
  state bytea NOT NULL,
  totals bytea NOT NULL,
  delivered bigint NOT NULL,
  rejected bigint NOT NULL,
  expired bigint NOT NULL,
  left_events bigint NOT NULL,
  in_doubt_since_ms bigint,
  PRIMARY KEY (lane, step)
) WITH (fillfactor = 50);

-- Which relay takes parcels over into lanes. appended: the events of each lane so far.
CREATE TABLE meditopia.sorter (
  one smallint NOT NULL CHECK (one = 1),
  step bigint NOT NULL,
  lease uuid,
  owner uuid,
  lease_until timestamptz NOT NULL,
  last_run bigint NOT NULL,
  appended bigint[] NOT NULL,
  PRIMARY KEY (one, step)
) WITH (fillfactor = 50);

CREATE TABLE meditopia.suspect (
  lane smallint NOT NULL,
  "user" bytea NOT NULL,
  waiting bigint NOT NULL,
  accepted bool NOT NULL,
  PRIMARY KEY (lane, "user")
);

-- For the brake, which is the whole fleet's.
CREATE TABLE meditopia.refused_in_a_row (
  "user" text PRIMARY KEY
);

-- What operators ask of a lane. Its owner carries it out with its next step.
CREATE TABLE meditopia.command (
  lane smallint NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  command jsonb NOT NULL,
  answer jsonb,
  given timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (lane, id)
);

CREATE TABLE meditopia.relay (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  version text NOT NULL,
  seen timestamptz NOT NULL,
  blocked text,
  blocked_until timestamptz
);

-- An id is given by the owner of the lane: its time and the lane, so that no two lanes give the same.
CREATE TABLE meditopia.rejected (
  id bigint PRIMARY KEY,
  lane smallint NOT NULL,
  "user" text NOT NULL,
  event bytea NOT NULL,
  reason smallint NOT NULL,
  may_be_delivered bool NOT NULL,
  api_code text NOT NULL,
  message text NOT NULL,
  http_status smallint,
  attempts int NOT NULL,
  first_ms bigint NOT NULL,
  last_ms bigint NOT NULL
);
CREATE INDEX rejected_by_user ON meditopia.rejected ("user", id);
CREATE INDEX rejected_by_code ON meditopia.rejected (api_code, id);

-- One row for each delivered request, in one partition a day, which is dropped whole.
CREATE TABLE meditopia.receipt (
  lane smallint NOT NULL,
  id bigint NOT NULL,
  time_ms bigint NOT NULL,
  http_status smallint NOT NULL,
  attempts int NOT NULL,
  events smallint NOT NULL,
  shares bytea NOT NULL,
  PRIMARY KEY (lane, time_ms, id)
) PARTITION BY RANGE (time_ms);
CREATE TABLE meditopia.receipt_other PARTITION OF meditopia.receipt DEFAULT;

-- lz4 costs half of pglz's time and as much room. Servers before version 14 and some builds do not have it.
DO $$
BEGIN
  EXECUTE 'ALTER TABLE meditopia.parcel ALTER body SET COMPRESSION lz4';
  EXECUTE 'ALTER TABLE meditopia.run ALTER body SET COMPRESSION lz4';
  EXECUTE 'ALTER TABLE meditopia.spool ALTER offsets SET COMPRESSION lz4';
  EXECUTE 'ALTER TABLE meditopia.receipt ALTER shares SET COMPRESSION lz4';
  EXECUTE 'ALTER TABLE meditopia.receipt_other ALTER shares SET COMPRESSION lz4';
EXCEPTION WHEN syntax_error OR feature_not_supported THEN
  NULL;
END
$$;

-- Aborts a statement whose compare-and-set found another row than was read.
CREATE FUNCTION meditopia.require(ok bool, what text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF ok IS NOT TRUE THEN
    RAISE EXCEPTION '%', what USING ERRCODE = 'MD001';
  END IF;
END
$$;

-- What every connection asks first. is_at_home: the database is the one that the fleet was set up in.
CREATE FUNCTION meditopia.fleet(
  OUT version int, OUT lanes smallint, OUT endpoint text, OUT account text,
  OUT utc_offset_minutes int, OUT max_event_bytes int, OUT is_at_home bool
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT m.version, m.lanes, m.endpoint, m.account, m.utc_offset_minutes, m.max_event_bytes,
    m.system_identifier = (SELECT c.system_identifier FROM pg_control_system() c) AND m.database = current_database()
  FROM meditopia.meta m
$$;

-- Makes the rows of a spool the first time, and says how far it is forwarded.
CREATE FUNCTION meditopia.begin_spool(spool uuid, host_name text, client_version text)
RETURNS TABLE (step bigint, offsets bytea, events bigint, closed bool)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- With the step in its key, a conflict on (id, 0) would be none once the spool has moved on.
  WITH made AS (
    INSERT INTO meditopia.host (id, name, version, first_seen)
    VALUES (begin_spool.spool, begin_spool.host_name, begin_spool.client_version, clock_timestamp())
    ON CONFLICT (id) DO NOTHING RETURNING id
  )
  INSERT INTO meditopia.spool (id, step, offsets, events, behind_bytes, closed, seen)
  SELECT made.id, 0, '', 0, 0, false, clock_timestamp() FROM made;
  UPDATE meditopia.host h SET name = begin_spool.host_name, version = begin_spool.client_version
  WHERE h.id = begin_spool.spool AND (h.name, h.version) IS DISTINCT FROM (begin_spool.host_name, begin_spool.client_version);
  RETURN QUERY SELECT s.step, s.offsets, s.events, s.closed FROM meditopia.spool s WHERE s.id = begin_spool.spool;
END
$$;

-- Takes parcels of a spool over, and how far its journal is forwarded with them: both or neither. Says the new step.
-- mark: how the offsets begin that the host has read at this step, with the number of the statement that wrote them. A step
-- alone may stand in two histories of a database that was set back, and a statement of the lost one may come late.
CREATE FUNCTION meditopia.forward(
  spool uuid, step bigint, mark bytea, offsets bytea, behind_bytes bigint, behind_since_ms bigint, closed bool,
  bodies bytea[], slots bytea[], checksums bytea[]
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  count_of_events bigint;
  damaged bigint;
BEGIN
  SELECT coalesce(sum(octet_length(p.slots) / 12), 0), count(*) FILTER (WHERE
      (octet_length(p.slots) % 12 = 0 AND octet_length(p.slots) BETWEEN 12 AND 1200
        AND p.checksum = substr(sha256(p.slots || p.body), 1, 8)) IS NOT TRUE)
    INTO count_of_events, damaged
    FROM unnest(forward.bodies, forward.slots, forward.checksums) AS p(body, slots, checksum);
  IF damaged > 0 THEN
    RAISE EXCEPTION '% parcels were damaged on their way; nothing was taken over', damaged USING ERRCODE = 'MD004';
  END IF;
  UPDATE meditopia.spool s SET step = s.step + 1, offsets = forward.offsets, events = s.events + count_of_events,
    behind_bytes = forward.behind_bytes, behind_since_ms = forward.behind_since_ms, closed = forward.closed,
    seen = clock_timestamp()
  WHERE s.id = forward.spool AND s.step = forward.step AND substr(s.offsets, 1, 9) = forward.mark;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another process forwards this spool, or the database is older than what it has said'
      USING ERRCODE = 'MD001';
  END IF;
  INSERT INTO meditopia.parcel (spool, events, body, slots, checksum)
  SELECT forward.spool, octet_length(p.slots) / 12, p.body, p.slots, p.checksum
  FROM unnest(forward.bodies, forward.slots, forward.checksums) WITH ORDINALITY AS p(body, slots, checksum, place)
  ORDER BY p.place;
  RETURN forward.step + 1;
END
$$;

-- Makes the partitions of the next week and drops those before the last `days`. Both need the table for themselves:
-- beside a long reader, such as a dump, this fails soon, because every delivery would wait in line behind it.
CREATE FUNCTION meditopia.keep_receipts(days int) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  day_ms CONSTANT bigint := 86400000;
  today bigint := floor(extract(epoch FROM clock_timestamp()) * 1000 / day_ms)::bigint;
  day bigint;
  old record;
BEGIN
  -- Two relays at once would make the same.
  LOCK TABLE meditopia.meta IN SHARE UPDATE EXCLUSIVE MODE;
  FOR day IN today .. today + 7 LOOP
    IF to_regclass(format('meditopia.receipt_%s', day)) IS NULL THEN
      EXECUTE format('CREATE TABLE meditopia.receipt_%s PARTITION OF meditopia.receipt FOR VALUES FROM (%s) TO (%s)',
        day, day * day_ms, (day + 1) * day_ms);
    END IF;
  END LOOP;
  FOR old IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'meditopia.receipt'::regclass AND c.relname ~ '^receipt_[0-9]+$'
      AND substr(c.relname, 9)::bigint < today - days
  LOOP
    EXECUTE format('DROP TABLE meditopia.%I', old.relname);
  END LOOP;
END
$$;

-- Forgets spools that were closed and empty for so many days. Any other spool's journal could come back.
CREATE FUNCTION meditopia.forget_closed_spools(days int) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH gone AS (
    DELETE FROM meditopia.spool s
    WHERE s.closed AND s.behind_bytes = 0 AND s.seen < clock_timestamp() - make_interval(days => forget_closed_spools.days)
    RETURNING s.id
  ), forgotten AS (
    DELETE FROM meditopia.host h USING gone WHERE h.id = gone.id RETURNING 1
  )
  SELECT count(*) FROM forgotten
$$;
