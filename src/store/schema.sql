-- Version 1 of the store (PRAGMA user_version); version_2.sql adds to it. The sender is the only writer.
CREATE TABLE runs (                       -- pending events, up to 100 of one lane a row
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  lane      INTEGER NOT NULL,
  queue     INTEGER NOT NULL,             -- 0 regular, 1 suspects
  origin    INTEGER,                      -- the row its last event came from; NULL: this one
  body      BLOB NOT NULL,                -- the fragments, joined by commas
  slots     BLOB NOT NULL,                -- for each event: length u32, enqueued_ms i64, little-endian
  crc       INTEGER NOT NULL              -- here and below: CRC-32C of the columns, verified when read
);
CREATE INDEX runs_by_place ON runs (lane, queue, id);
CREATE INDEX runs_moved ON runs (origin) WHERE origin IS NOT NULL;

CREATE TABLE lanes (
  lane              INTEGER PRIMARY KEY,
  in_doubt_queue    INTEGER,              -- NULL: nothing is in doubt
  in_doubt_events   INTEGER,
  in_doubt_attempts INTEGER,
  in_doubt_first_ms INTEGER,
  in_doubt_last_ms  INTEGER,
  regular_skip      INTEGER NOT NULL,
  regular_group     INTEGER NOT NULL,
  regular_doubtful  INTEGER NOT NULL,
  regular_belief    BLOB NOT NULL,
  suspects_skip     INTEGER NOT NULL,
  suspects_group    INTEGER NOT NULL,
  suspects_doubtful INTEGER NOT NULL,
  suspects_belief   BLOB NOT NULL,
  crc               INTEGER NOT NULL
);

CREATE TABLE suspects (
  user     BLOB PRIMARY KEY,              -- JSON-escaped partner_user_id
  lane     INTEGER NOT NULL,
  waiting  INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  crc      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE rejected (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  user             TEXT NOT NULL,
  event            BLOB NOT NULL,
  reason           INTEGER NOT NULL,      -- 1 refused, 2 expired
  may_be_delivered INTEGER NOT NULL,
  api_code         TEXT NOT NULL,
  message          TEXT NOT NULL,
  http_status      INTEGER,
  attempts         INTEGER NOT NULL,
  first_ms         INTEGER NOT NULL,
  last_ms          INTEGER NOT NULL,
  crc              INTEGER NOT NULL
);
CREATE INDEX rejected_by_user ON rejected (user, id);
CREATE INDEX rejected_by_code ON rejected (api_code, id);

CREATE TABLE segments (
  name TEXT PRIMARY KEY,
  upto INTEGER NOT NULL,
  crc  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE pause (
  one           INTEGER PRIMARY KEY CHECK (one = 1),
  reason        TEXT NOT NULL,
  since_ms      INTEGER NOT NULL,
  probe_ms      INTEGER,
  probe_wait_ms INTEGER NOT NULL,
  http_status   INTEGER,
  api_code      TEXT,
  message       TEXT NOT NULL,
  fingerprint   BLOB,                     -- salt and hash of the refused token
  crc           INTEGER NOT NULL
);

CREATE TABLE state (
  one                INTEGER PRIMARY KEY CHECK (one = 1),
  epoch              INTEGER NOT NULL,    -- counts senders; a commit of an earlier one is refused
  syncs              INTEGER NOT NULL,    -- counts commits for a power cut: one that changes nothing syncs nothing
  lanes              INTEGER NOT NULL,
  pending            INTEGER NOT NULL,
  pending_bytes      INTEGER NOT NULL,
  delivered          INTEGER NOT NULL,
  rejected           INTEGER NOT NULL,
  expired            INTEGER NOT NULL,
  requests           INTEGER NOT NULL,
  retried_requests   INTEGER NOT NULL,
  refused_requests   INTEGER NOT NULL,
  isolation_requests INTEGER NOT NULL,
  damaged_records    INTEGER NOT NULL,
  torn_tails         INTEGER NOT NULL,
  lost               INTEGER NOT NULL,    -- events that recover could not read
  crc                INTEGER NOT NULL     -- of lanes and the sums
);
INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
PRAGMA user_version = 1;
