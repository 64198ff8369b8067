-- What version 3 of the store adds to version 2.
CREATE TABLE receipts (                   -- what was delivered, one row for each request
  id          INTEGER PRIMARY KEY,        -- of its time: rows grow with it, and are never given twice
  time_ms     INTEGER NOT NULL,
  http_status INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  events      INTEGER NOT NULL,
  shares      BLOB NOT NULL,              -- whose events and of which kinds: src/store/receipts.rs
  crc         INTEGER NOT NULL
);

ALTER TABLE state ADD COLUMN measures BLOB NOT NULL DEFAULT x'';

PRAGMA user_version = 3;
