-- The outbox: an application enqueues events by SQL, in the transaction of the change that they are about.
--
-- The functions check what the library checks (src/event), in the same order and with the same words, and write
-- the same bytes. A test compares them over random events.

-- A wrong value, as messages show it: quoted, its unprintable characters escaped, cut after 40.
CREATE FUNCTION meditopia.quoted(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- Not as a literal: a session may read backslashes in literals as escapes.
  backslash CONSTANT text := chr(92);
  shown text := '"';
  c text;
  code int;
BEGIN
  FOR place IN 1 .. least(char_length(value), 40) LOOP
    c := substr(value, place, 1);
    code := ascii(c);
    shown := shown || CASE
      WHEN c IN ('"', backslash) THEN backslash || c
      WHEN code = 9 THEN backslash || 't'
      WHEN code = 10 THEN backslash || 'n'
      WHEN code = 13 THEN backslash || 'r'
      WHEN code < 32 OR code BETWEEN 127 AND 159 OR code IN (173, 1564, 6158, 65279) OR code BETWEEN 8203 AND 8207
        OR code BETWEEN 8232 AND 8238 OR code BETWEEN 8288 AND 8303 OR code BETWEEN 65529 AND 65531
        OR code BETWEEN 119155 AND 119162 OR code BETWEEN 917504 AND 921599 THEN backslash || 'u{' || to_hex(code) || '}'
      ELSE c
    END;
  END LOOP;
  RETURN shown || CASE WHEN char_length(value) > 40 THEN '"...' ELSE '"' END;
END
$$;

-- How many letters have to be inserted, deleted, replaced or swapped to make one word of the other.
CREATE FUNCTION meditopia.edits(word text, other text) RETURNS int
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  a text[] := string_to_array(word, NULL);
  b text[] := string_to_array(other, NULL);
  rows int := coalesce(cardinality(a), 0);
  columns int := coalesce(cardinality(b), 0);
  -- Row -1 and column -1 have what is more than any distance.
  d int[] := array_fill(rows + columns, ARRAY[rows + 2, columns + 2], ARRAY[-1, -1]);
  same_in_row int;
  above int;
  before int;
BEGIN
  FOR i IN 0 .. rows LOOP d[i][0] := i; END LOOP;
  FOR j IN 0 .. columns LOOP d[0][j] := j; END LOOP;
  FOR i IN 1 .. rows LOOP
    same_in_row := 0;
    FOR j IN 1 .. columns LOOP
      above := i - 1;
      WHILE above > 0 AND a[above] <> b[j] LOOP above := above - 1; END LOOP;
      before := same_in_row;
      IF a[i] = b[j] THEN same_in_row := j; END IF;
      d[i][j] := least(
        d[i - 1][j - 1] + CASE WHEN a[i] = b[j] THEN 0 ELSE 1 END,
        d[i][j - 1] + 1,
        d[i - 1][j] + 1,
        CASE WHEN above > 0 AND before > 0 THEN d[above - 1][before - 1] + (i - above - 1) + 1 + (j - before - 1) END
      );
    END LOOP;
  END LOOP;
  RETURN d[rows][columns];
END
$$;

-- A field breaks a rule.
CREATE FUNCTION meditopia.refuse(what text, place bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF place IS NULL THEN
    RAISE EXCEPTION '%', what USING ERRCODE = 'MD002';
  END IF;
  RAISE EXCEPTION '%', what USING ERRCODE = 'MD002', DETAIL = format('Event %s of the array; none was queued.', place);
END
$$;

-- The kind as it is, if it is one. place: which event of an array it is, or NULL.
CREATE FUNCTION meditopia.check_kind(event text, place bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known CONSTANT text[] := ARRAY['register', 'signin', 'audio', 'video', 'content'];
  meant text;
BEGIN
  IF event = ANY (known) THEN
    RETURN;
  END IF;
  IF char_length(event) <= 40 THEN
    SELECT kind INTO meant FROM (
      SELECT kind, number, meditopia.edits(lower(event COLLATE "C"), kind) AS edits FROM unnest(known) WITH ORDINALITY AS k(kind, number)
    ) AS near
    WHERE edits <= (char_length(kind) + 2) / 3 ORDER BY edits, number LIMIT 1;
  END IF;
  PERFORM meditopia.refuse(format('event: %s is not one of %s%s', meditopia.quoted(event), array_to_string(known, ', '),
    coalesce('; did you mean "' || meant || '"?', '')), place);
END
$$;

-- A time in the API's form. One in that form stays as it is; one with a UTC offset is converted.
CREATE FUNCTION meditopia.api_time(given text, utc_offset_minutes int, place bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  separator text := substr(given, 11, 1);
  rest text;
  zone text;
  year int; month int; day int; hour int; minute int; second int;
  zone_seconds int;
  -- The calendar repeats every 400 years, and the server's has no year 0.
  moved timestamp;
  fault text;
BEGIN
  IF given !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[ Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?$' THEN
    fault := 'is neither YYYY-MM-DD HH:MM:SS nor RFC 3339 such as 2024-08-06T15:04:05Z';
  ELSE
    rest := substr(given, 20);
    zone := substring(rest FROM '([Zz]|[+-].*)$');
    year := substr(given, 1, 4)::int;
    month := substr(given, 6, 2)::int;
    day := substr(given, 9, 2)::int;
    hour := substr(given, 12, 2)::int;
    minute := substr(given, 15, 2)::int;
    second := substr(given, 18, 2)::int;
    IF zone IS NULL AND (rest <> '' OR separator <> ' ') THEN
      fault := 'has no UTC offset; add Z or an offset such as +03:00, or write YYYY-MM-DD HH:MM:SS';
    ELSIF month NOT BETWEEN 1 AND 12 OR day < 1 OR day > (CASE
        WHEN month = 2 THEN CASE WHEN year % 4 = 0 AND (year % 100 <> 0 OR year % 400 = 0) THEN 29 ELSE 28 END
        WHEN month IN (4, 6, 9, 11) THEN 30 ELSE 31 END) THEN
      fault := 'is not a date on the calendar';
    ELSIF hour > 23 OR minute > 59 OR second > 60 OR (second = 60 AND zone IS NULL) THEN
      fault := 'is not a time of day';
    ELSIF zone IS NULL THEN
      RETURN given;
    ELSE
      zone_seconds := CASE
        WHEN zone IN ('Z', 'z') THEN 0
        ELSE (substr(zone, 2, 2)::int * 3600 + substr(zone, 5, 2)::int * 60) * CASE substr(zone, 1, 1) WHEN '-' THEN -1 ELSE 1 END
      END;
      -- A leap second becomes the second before it, if it is one: the last of a day in UTC.
      IF second = 60 AND (hour * 3600 + minute * 60 + 59 - zone_seconds + 172800) % 86400 <> 86399 THEN
        fault := 'is not a time of day';
      ELSE
        moved := make_timestamp(year + 400, month, day, hour, minute, least(second, 59))
          + make_interval(secs => utc_offset_minutes * 60 - zone_seconds);
        year := extract(year FROM moved)::int - 400;
        IF year BETWEEN 0 AND 9999 THEN
          RETURN lpad(year::text, 4, '0') || to_char(moved, '-MM-DD HH24:MI:SS');
        END IF;
        fault := format('is outside the years 0000 to 9999 when converted to %s%s:%s',
          CASE WHEN utc_offset_minutes < 0 THEN '-' ELSE '+' END,
          lpad((abs(utc_offset_minutes) / 60)::text, 2, '0'), lpad((abs(utc_offset_minutes) % 60)::text, 2, '0'));
      END IF;
    END IF;
  END IF;
  PERFORM meditopia.refuse(format('received_at: %s %s', meditopia.quoted(given), fault), place);
  RETURN NULL;
END
$$;

-- The bytes of one event, as a request carries them. now_at: the time of an event that has none.
CREATE FUNCTION meditopia.fragment(
  token text, partner_user_id text, event text, event_value text, received_at text,
  utc_offset_minutes int, max_event_bytes int, now_at timestamptz, place bigint
) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bytes bigint;
  made bytea;
BEGIN
  IF token IS NULL OR partner_user_id IS NULL OR event IS NULL THEN
    PERFORM meditopia.refuse(CASE WHEN token IS NULL THEN 'token' WHEN partner_user_id IS NULL THEN 'partner_user_id' ELSE 'event' END
      || ' is NULL', place);
  ELSIF token = '' THEN
    PERFORM meditopia.refuse('token: is empty', place);
  ELSIF partner_user_id = '' THEN
    PERFORM meditopia.refuse('partner_user_id: is empty', place);
  END IF;
  PERFORM meditopia.check_kind(event, place);
  -- Escaping never shortens a text, so one that is too long is refused before it is copied.
  bytes := octet_length(token) + octet_length(partner_user_id) + coalesce(octet_length(event_value), 0);
  IF bytes <= max_event_bytes THEN
    made := convert_to('{"token":' || to_json(token) || ',"partner_user_id":' || to_json(partner_user_id)
      || ',"event":"' || event || '","event_value":' || coalesce(to_json(event_value)::text, 'null')
      || ',"received_at":"' || CASE
        WHEN received_at IS NOT NULL THEN meditopia.api_time(received_at, utc_offset_minutes, place)
        ELSE to_char(date_trunc('second', now_at AT TIME ZONE 'UTC') + make_interval(mins => utc_offset_minutes), 'YYYY-MM-DD HH24:MI:SS')
      END || '"}', 'UTF8');
    bytes := octet_length(made);
  END IF;
  IF bytes > max_event_bytes THEN
    PERFORM meditopia.refuse(format('the event takes %s bytes or more; max_event_bytes is %s', bytes, max_event_bytes), place);
  END IF;
  RETURN made;
END
$$;

-- Queues one event in this transaction: delivered if it is committed, and never known if it is rolled back.
CREATE FUNCTION meditopia.enqueue(
  token text, partner_user_id text, event text, event_value text DEFAULT NULL, received_at text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  now_at CONSTANT timestamptz := clock_timestamp();
  body bytea;
  slots bytea;
BEGIN
  SELECT meditopia.fragment(enqueue.token, enqueue.partner_user_id, enqueue.event, enqueue.event_value, enqueue.received_at,
    m.utc_offset_minutes, m.max_event_bytes, now_at, NULL) INTO STRICT body FROM meditopia.meta m;
  slots := int4send(octet_length(body)) || int8send(floor(extract(epoch FROM now_at) * 1000)::bigint);
  INSERT INTO meditopia.parcel (events, body, slots, checksum) VALUES (1, body, slots, substr(sha256(slots || body), 1, 8));
END
$$;

-- Queues the events of five arrays of one length, all or none, and says how many. A parcel holds up to 100.
CREATE FUNCTION meditopia.enqueue_batch(
  tokens text[], partner_user_ids text[], events text[], event_values text[] DEFAULT NULL, received_ats text[] DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  now_at CONSTANT timestamptz := clock_timestamp();
  enqueued_ms CONSTANT bigint := floor(extract(epoch FROM now_at) * 1000)::bigint;
  wanted CONSTANT int := coalesce(cardinality(tokens), 0);
BEGIN
  IF (coalesce(cardinality(partner_user_ids), 0), coalesce(cardinality(events), 0),
      coalesce(cardinality(event_values), wanted), coalesce(cardinality(received_ats), wanted))
    IS DISTINCT FROM (wanted, wanted, wanted, wanted)
  THEN
    PERFORM meditopia.refuse('the arrays have different lengths; none was queued', NULL);
  END IF;
  WITH made AS MATERIALIZED (
    SELECT e.place, meditopia.fragment(e.token, e.partner_user_id, e.event, e.event_value, e.received_at,
      m.utc_offset_minutes, m.max_event_bytes, now_at, e.place - 1) AS fragment
    FROM meditopia.meta m,
      unnest(tokens, partner_user_ids, events, event_values, received_ats)
        WITH ORDINALITY AS e(token, partner_user_id, event, event_value, received_at, place)
  ), packed AS MATERIALIZED (
    SELECT (place - 1) / 100 AS parcel, count(*) AS events, string_agg(fragment, ',' ORDER BY place) AS body,
      string_agg(int4send(octet_length(fragment)) || int8send(enqueued_ms), '' ORDER BY place) AS slots
    FROM made GROUP BY parcel
  )
  INSERT INTO meditopia.parcel (events, body, slots, checksum)
  SELECT events, body, slots, substr(sha256(slots || body), 1, 8) FROM packed ORDER BY parcel;
  RETURN wanted;
END
$$;
