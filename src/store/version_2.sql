-- What version 2 of the store adds to version 1.
CREATE TABLE refused_in_a_row (           -- users refused alone since the last acceptance, for the brake
  user TEXT PRIMARY KEY,
  crc  INTEGER NOT NULL
) WITHOUT ROWID;

PRAGMA user_version = 2;
