-- What version 2 of the store adds to version 1.
CREATE TABLE refused_in_a_row (           -- users refused alone since the last acceptance, for the brake
  user TEXT PRIMARY KEY,
  crc  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE rests (                      -- how lanes rest after failures; without a row: not at all
  lane            INTEGER PRIMARY KEY,
  drawn_ms        INTEGER NOT NULL,
  wait_ms         INTEGER NOT NULL,
  until_ms        INTEGER,
  connection_lost INTEGER NOT NULL,
  server_errors   INTEGER NOT NULL,
  crc             INTEGER NOT NULL
);

PRAGMA user_version = 2;
