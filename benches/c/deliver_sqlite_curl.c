/* A hand-written durable deliverer: a queue table in SQLite, posted with libcurl by the hundred.
 *
 *   deliver_sqlite_curl DATABASE URL EVENTS
 *
 * As it is done well: WAL, synchronous=NORMAL, prepared statements. Each insert is a transaction, because an
 * enqueue that has returned must survive the process. A hundred accepted ones are deleted in one statement.
 * One thread does both, so no lock is ever waited for, and the table never holds more than a hundred.
 */

#define _GNU_SOURCE

#include <sqlite3.h>

#include "deliver_curl.h"
#include "deliver_encode.h"

static sqlite3 *database;

static void check(int code) {
  if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
    fail("sqlite", sqlite3_errmsg(database));
}

static sqlite3_stmt *prepare(const char *text) {
  sqlite3_stmt *statement;
  check(sqlite3_prepare_v3(database, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL));
  return statement;
}

static void enqueue(sqlite3_stmt *insert, const struct event *event) {
  char json[EVENT_BYTES_MAX];
  check(sqlite3_bind_text(insert, 1, json, (int)encode(json, event), SQLITE_STATIC));
  check(sqlite3_step(insert));
  check(sqlite3_reset(insert));
}

/* Sends up to a hundred; false: there was none. */
static bool deliver(sqlite3_stmt *oldest, sqlite3_stmt *forget, const struct poster *poster) {
  static struct body body;
  sqlite3_int64 last = 0;
  int code;
  begin_body(&body);
  while ((code = sqlite3_step(oldest)) == SQLITE_ROW) {
    last = sqlite3_column_int64(oldest, 0);
    add_to_body(&body, (const char *)sqlite3_column_text(oldest, 1), (size_t)sqlite3_column_bytes(oldest, 1));
  }
  check(code);
  check(sqlite3_reset(oldest));
  if (body.events == 0)
    return false;
  end_body(&body);
  post(poster, body.bytes, body.length);
  check(sqlite3_bind_int64(forget, 1, last));
  check(sqlite3_step(forget));
  check(sqlite3_reset(forget));
  return true;
}

int main(int argc, char **argv) {
  struct event event;
  if (argc != 4)
    fail("usage", "deliver_sqlite_curl DATABASE URL EVENTS");
  /* One thread uses the connection, so it needs no mutex. */
  check(sqlite3_open_v2(argv[1], &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
  check(sqlite3_exec(database,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                     "CREATE TABLE queue (id INTEGER PRIMARY KEY, event TEXT NOT NULL)",
                     NULL, NULL, NULL));
  sqlite3_stmt *insert = prepare("INSERT INTO queue (event) VALUES (?)");
  sqlite3_stmt *oldest = prepare("SELECT id, event FROM queue ORDER BY id LIMIT 100");
  sqlite3_stmt *forget = prepare("DELETE FROM queue WHERE id <= ?");
  struct poster poster = open_poster(argv[2], NULL);
  long events = atol(argv[3]);
  for (long i = 1; i <= events; i++) {
    make_event(&event, i);
    enqueue(insert, &event);
    if (i % BATCH == 0)
      deliver(oldest, forget, &poster);
  }
  while (deliver(oldest, forget, &poster)) {
  }
  close_poster(&poster);
  sqlite3_finalize(insert), sqlite3_finalize(oldest), sqlite3_finalize(forget);
  check(sqlite3_close(database));
  puts("{}");
  return 0;
}
