/* meditopia.h - queues user-activity events durably and delivers them to the Meditopia Partners API.
 *
 * Made from src/ffi by `UPDATE_HEADERS=1 cargo test --test abi headers`; do not edit.
 *
 * THE MODEL
 *
 * An enqueue appends the event to a file in the *spool*, a directory of yours on a local disk, and
 * returns. A *sender* takes what was appended and delivers it, at most 100 events a request. There is
 * one sender a spool at any time, elected among all processes that may send: a background thread of
 * one of them (`role` "both", the default), a call of meditopia_flush, or the daemon `meditopia run`.
 * When it dies, another one follows within a second.
 *
 * PROMISES
 *
 * 1. When an enqueue returns MEDITOPIA_OK the event is safe: it is pending, delivered, or kept among
 *    the rejected with its reason until you remove it there. With `durability` "process" (default)
 *    that holds for the death of the process by any signal, with "power" also for a power cut.
 * 2. An event is rejected only after the API refused it alone. Its neighbours never share its fate.
 * 3. Events of one partner_user_id whose enqueues did not overlap arrive in the order of the enqueues.
 * 4. An event is sent again only if no answer has settled its request; such events are listed
 *    (meditopia_in_doubt_open).
 * 5. Enqueue does no network I/O and never waits for the sender. Every other call that waits has a
 *    deadline.
 * 6. The library writes nothing to stdout (nor to stderr, the message of a defect of its own apart),
 *    installs no signal handler, reads no environment (meditopia_config_load_env apart) and never
 *    ends your process. Its threads have all signals blocked.
 * 7. The bearer token is in no file, log or error of the library.
 *
 * A refused token or address, or anything unclear, does not lose events: delivery *pauses*, keeps all,
 * says why (pause_reason) and goes on by itself once the cause is gone.
 *
 * LIFECYCLE
 *
 *   meditopia_config_new, _set ...   options; the spool is the only one without a default
 *   meditopia_client_open            copies them
 *   meditopia_enqueue ...            from any thread
 *   meditopia_flush                  only where you want to wait for delivery
 *   meditopia_client_close, _free    a process that ends without them loses nothing
 *
 * A COMPLETE PROGRAM   (cc example.c -lmeditopia)
 *
 *   #include <meditopia.h>
 *   #include <stdio.h>
 *
 *   int main(void) {
 *     meditopia_error error;
 *     meditopia_report report = { .struct_size = sizeof report };
 *     meditopia_client *client = NULL;
 *     meditopia_config *config = meditopia_config_new();
 *     if (meditopia_config_set(config, "spool", "/var/spool/myapp/meditopia", &error) < 0
 *         || meditopia_config_set(config, "bearer_token_file", "/etc/myapp/meditopia.token", &error) < 0
 *         || meditopia_client_open(config, &client, &error) < 0
 *         || meditopia_enqueue(client, "user-token-1", "user-1", "video", NULL, NULL, &error) < 0
 *         || meditopia_client_close(client, 30000, &report, &error) < 0) {
 *       fprintf(stderr, "%s: %s\n", meditopia_status_name(error.status), error.message);
 *     } else {
 *       printf("%d delivered\n", (int)report.delivered);
 *     }
 *     meditopia_client_free(client);
 *     meditopia_config_free(config);
 *     return error.status < 0;
 *   }
 *
 * CONVENTIONS
 *
 * A function that can fail returns meditopia_status, 0 or above for success, and takes a
 * meditopia_error as its last argument; NULL there is always accepted. No other NULL is, except where
 * it is said; the answer is MEDITOPIA_ERROR_INVALID_ARGUMENT. Any function may return that, and
 * MEDITOPIA_ERROR_INTERNAL, a defect of the library caught at its door.
 *
 * Strings that you pass are UTF-8 and borrowed for the call. What the library gives you through an
 * `out` argument is yours: free it with the function of its name. `*_free(NULL)` does nothing.
 * Outputs are blank after an error (NULL, 0), never uninitialised.
 *
 * A struct that starts with struct_size may grow at its end in a later version. Set struct_size to
 * sizeof the struct before the call; no byte beyond it is written, and the library leaves the field
 * as it is, so that one struct serves a loop. meditopia_error is frozen and has none.
 *
 * THREADS
 *
 * Any function may be called with one meditopia_client from any number of threads at the same time. A
 * meditopia_text may be read by any number. A meditopia_config and a meditopia_cursor belong to one
 * thread at a time. Free each once, after the last call with it by any thread has returned. Nothing
 * is kept per thread: an error is in the meditopia_error of its call and nowhere else. No function
 * is safe in a signal handler.
 *
 * FORK
 *
 * A client that was opened before fork works in the child: it writes to files of its own. The log
 * callback does not run there. A child whose parent was the sender when it forked may enqueue, but
 * not send or list (MEDITOPIA_ERROR_FORKED) unless it execs; another process sends for it. Free
 * inherited handles or not, as you like.
 */

#ifndef MEDITOPIA_H
#define MEDITOPIA_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this header. `MEDITOPIA_ABI_MAJOR` is also the number in the library's name
 * (libmeditopia.so.0); `MEDITOPIA_ABI_MINOR` grows whenever something is added.
 */
typedef enum meditopia_abi {
  /**
   * Changes when a program has to be compiled again.
   */
  MEDITOPIA_ABI_MAJOR = 0,
  /**
   * Grows when a function, a constant or the end of a struct is added.
   */
  MEDITOPIA_ABI_MINOR = 2,
} meditopia_abi;

/**
 * The formats of `meditopia_stats_text`.
 */
typedef enum meditopia_format {
  /**
   * One JSON object.
   */
  MEDITOPIA_FORMAT_JSON = 0,
  /**
   * The text format that Prometheus scrapes.
   */
  MEDITOPIA_FORMAT_PROMETHEUS = 1,
} meditopia_format;

/**
 * The values of `meditopia_log_record.level`. Less is more urgent.
 */
typedef enum meditopia_log_level {
  /**
   * Somebody has to act: delivery is paused, the disk is full.
   */
  MEDITOPIA_LOG_ERROR = 1,
  /**
   * Somebody should look: an event was rejected, nobody sends.
   */
  MEDITOPIA_LOG_WARN = 2,
  /**
   * What has changed and needs nobody: a pause is over, or goes on after a probe; the disk has room
   * again; another process may send.
   */
  MEDITOPIA_LOG_INFO = 3,
  /**
   * Every request.
   */
  MEDITOPIA_LOG_DEBUG = 4,
} meditopia_log_level;

/**
 * Why delivery is paused: the values of every `pause_reason`. A pause keeps every event, probes
 * with one request at growing intervals (30 s to 15 min), and ends at once with
 * `meditopia_set_bearer_token` (where the token was the cause) or `meditopia_resume`.
 */
typedef enum meditopia_pause_reason {
  /**
   * It is not paused.
   */
  MEDITOPIA_PAUSE_NONE = 0,
  /**
   * The API refused the bearer token.
   */
  MEDITOPIA_PAUSE_AUTH = 1,
  /**
   * The API refused this host's address: ask Meditopia to allow it.
   */
  MEDITOPIA_PAUSE_IP = 2,
  /**
   * What answers at the endpoint does not look like the Partners API: a wrong URL, a proxy.
   */
  MEDITOPIA_PAUSE_MISROUTED = 3,
  /**
   * Lone refusals of many different users in a row (`brake_users`): more likely our mistake
   * than theirs.
   */
  MEDITOPIA_PAUSE_MASS_REJECTION = 4,
  /**
   * The API answers the same request with server errors again and again.
   */
  MEDITOPIA_PAUSE_SERVER_ERROR = 5,
  /**
   * The store cannot be trusted until an operator recovers it.
   */
  MEDITOPIA_PAUSE_STORE_DAMAGED = 6,
  /**
   * An operator asked for it: `meditopia_hold`.
   */
  MEDITOPIA_PAUSE_HOLD = 7,
} meditopia_pause_reason;

/**
 * The values of `meditopia_row.reason`.
 */
typedef enum meditopia_reason {
  /**
   * The API refused the event alone in a request; it was not delivered.
   */
  MEDITOPIA_REASON_REFUSED = 1,
  /**
   * The event was older than `event_ttl_s` before it could be sent.
   */
  MEDITOPIA_REASON_EXPIRED = 2,
  /**
   * The event was sent, but no answer has settled whether it arrived. It is being repeated.
   */
  MEDITOPIA_REASON_IN_DOUBT = 3,
  /**
   * The API refused the event alone in a request, but an earlier request with it was never
   * settled: it may have been delivered then. Look before you requeue.
   */
  MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED = 4,
  /**
   * The event was in doubt, and an operator set it aside (`meditopia_in_doubt_set_aside`): it may
   * have been delivered.
   */
  MEDITOPIA_REASON_SET_ASIDE = 5,
  /**
   * The event was older than `event_ttl_s`, and an earlier request with it was never settled: it may
   * have been delivered then.
   */
  MEDITOPIA_REASON_EXPIRED_MAY_BE_DELIVERED = 6,
  /**
   * The event waits to be sent.
   */
  MEDITOPIA_REASON_PENDING = 7,
  /**
   * The event waits, and no sender has taken it over yet.
   */
  MEDITOPIA_REASON_JOURNALLED = 8,
} meditopia_reason;

/**
 * The values of `meditopia_status`.
 */
typedef enum meditopia_status_code {
  /**
   * It is done.
   */
  MEDITOPIA_OK = 0,
  /**
   * The end of a list: there is no further row or record. No error.
   */
  MEDITOPIA_DONE = 1,
  /**
   * An argument is NULL where it may not be, not UTF-8, or out of range; or a `struct_size` is
   * not set. The message names it. A mistake in the calling code.
   */
  MEDITOPIA_ERROR_INVALID_ARGUMENT = -1,
  /**
   * An event breaks a rule of the API. The message names the field, `event_index` the event.
   * Nothing was queued, not even the good events of the same call.
   */
  MEDITOPIA_ERROR_INVALID_EVENT = -2,
  /**
   * The configuration is incomplete or contradictory, or a key or value is not known.
   */
  MEDITOPIA_ERROR_CONFIG = -3,
  /**
   * Another client of this process has the same spool open with another value for a key; the
   * message names the key.
   */
  MEDITOPIA_ERROR_CONFLICT = -4,
  /**
   * The spool belongs to another user, endpoint, account or place on disk. An operator decides
   * (`meditopia adopt`).
   */
  MEDITOPIA_ERROR_SPOOL_MISMATCH = -5,
  /**
   * The disk, or `max_spool_bytes`, is full. This event was not queued; every event that was
   * acknowledged before stays safe. Retryable.
   */
  MEDITOPIA_ERROR_SPOOL_FULL = -6,
  /**
   * The operating system refused a read or a write. An enqueue that fails so is unknown: its
   * event may still be delivered. Retryable.
   */
  MEDITOPIA_ERROR_IO = -7,
  /**
   * Delivery is paused; `pause_reason` says why. Everything is kept, and enqueue goes on.
   * Retryable.
   */
  MEDITOPIA_ERROR_PAUSED = -8,
  /**
   * The deadline passed first. Everything is kept, and delivery goes on. Retryable.
   */
  MEDITOPIA_ERROR_TIMEOUT = -9,
  /**
   * The client was closed before this call.
   */
  MEDITOPIA_ERROR_CLOSED = -10,
  /**
   * The store of the spool is damaged, or of a newer version than this library. Enqueue goes on.
   */
  MEDITOPIA_ERROR_STORE = -11,
  /**
   * This process was forked from one that had the store open. Here it may enqueue, but neither
   * send nor list; any other process may.
   */
  MEDITOPIA_ERROR_FORKED = -12,
  /**
   * A defect of this library, caught at its door. Please report the message.
   */
  MEDITOPIA_ERROR_INTERNAL = -13,
} meditopia_status_code;

/**
 * A client of one spool. Any number of threads may call any of its functions at the same time,
 * and a process forked from its owner may go on with it. Clients of one process that name the same
 * spool share what is behind them.
 */
typedef struct meditopia_client meditopia_client;

/**
 * Options for `meditopia_client_open`. Plain memory: it opens nothing, and survives fork. One
 * thread at a time.
 */
typedef struct meditopia_config meditopia_config;

/**
 * A position in a list of events. One thread at a time; it may move between threads. It holds no
 * transaction, so it may stay open as long as you like.
 */
typedef struct meditopia_cursor meditopia_cursor;

/**
 * A position in the list of receipts. One thread at a time; it may move between threads. It holds no
 * transaction, so it may stay open as long as you like.
 */
typedef struct meditopia_receipts meditopia_receipts;

/**
 * A text made by the library, UTF-8. It never changes, so any number of threads may read it; the
 * caller frees it once with `meditopia_text_free`. It does not depend on the client or the config
 * that it came from.
 */
typedef struct meditopia_text meditopia_text;

/**
 * What every fallible function returns: one of `meditopia_status_code`.
 *
 * 0 and above is success. Treat a negative number that you do not know like
 * `MEDITOPIA_ERROR_INTERNAL`: a later version may have more of them.
 */
typedef int32_t meditopia_status;

/**
 * What went wrong. Any function accepts NULL in its place.
 *
 * The caller owns it and need not initialise it: every call fills it in, after a success with
 * that status, no numbers and empty strings. Its layout is frozen for ever. One struct belongs to
 * one call at a time.
 */
typedef struct meditopia_error {
  /**
   * What the call returned.
   */
  int32_t status;
  /**
   * HTTP status of the API's answer that led here; 0: none.
   */
  int32_t http_status;
  /**
   * 1: the same call may succeed later without any change by the caller. 0: it will not.
   */
  int32_t retryable;
  /**
   * One of `meditopia_pause_reason`; not `MEDITOPIA_PAUSE_NONE` only with
   * `MEDITOPIA_ERROR_PAUSED`.
   */
  int32_t pause_reason;
  /**
   * Which event of the call is meant, counted from 0; -1: none.
   */
  int64_t event_index;
  /**
   * The API's own code, such as "A_1002"; empty: none. NUL-terminated UTF-8.
   */
  char api_code[32];
  /**
   * What happened, to what, and what to do next. NUL-terminated UTF-8, cut between two
   * characters where it is too long. Never contains a bearer token.
   */
  char message[512];
  /**
   * Zero; a later version may give them a meaning.
   */
  uint64_t reserved[9];
} meditopia_error;

/**
 * What a `meditopia_flush` or `meditopia_client_close` did. It is written whatever the status is, also
 * after `MEDITOPIA_ERROR_TIMEOUT` and `MEDITOPIA_ERROR_PAUSED`; all zero where nothing is known.
 *
 * Counts are events of the whole spool, other processes' included.
 */
typedef struct meditopia_report {
  /**
   * Set it to sizeof(meditopia_report) before the call.
   */
  uint32_t struct_size;
  /**
   * Why delivery is paused: one of `meditopia_pause_reason`.
   */
  int32_t pause_reason;
  /**
   * Accepted by the API since the call began.
   */
  uint64_t delivered;
  /**
   * Refused by the API, each alone in a request, since the call began. They are kept and listed
   * by `meditopia_rejected_open`.
   */
  uint64_t rejected;
  /**
   * Older than `event_ttl_s` since the call began. They are kept and listed with the rejected.
   */
  uint64_t expired;
  /**
   * Waiting when the call returned. Where its time did not suffice to count what has not been taken
   * over from the journal yet, about.
   */
  uint64_t pending;
  /**
   * Of the pending: sent, but no answer has settled whether they arrived.
   */
  uint64_t in_doubt;
  /**
   * Since when delivery is paused, milliseconds since 1970-01-01T00:00:00Z; 0: it is not, or that is
   * not known.
   */
  int64_t paused_since_ms;
  /**
   * When a request asks next whether the pause is over; 0: it is not paused, or only an operator
   * ends it.
   */
  int64_t next_probe_ms;
} meditopia_report;

/**
 * How long something took, counted in buckets whose bounds never change.
 */
typedef struct meditopia_histogram {
  /**
   * How often it was measured.
   */
  uint64_t count;
  /**
   * All durations together, in microseconds.
   */
  uint64_t sum_us;
  /**
   * How often it took longer than the bound before and at most the bound of its own. The last has no
   * bound. `meditopia_stats_text` names the bounds.
   */
  uint64_t buckets[15];
} meditopia_histogram;

/**
 * Counters and states of a spool, all its processes together. Counters are events since the spool
 * was made, where nothing else is said. Times are milliseconds since 1970-01-01T00:00:00Z; -1:
 * there is none.
 */
typedef struct meditopia_stats {
  /**
   * Set it to sizeof(meditopia_stats) before the call.
   */
  uint32_t struct_size;
  /**
   * Why delivery is paused: one of `meditopia_pause_reason`.
   */
  int32_t pause_reason;
  /**
   * Acknowledged by the enqueues of this process, since it opened the spool.
   */
  uint64_t enqueued;
  /**
   * Accepted by the API.
   */
  uint64_t delivered;
  /**
   * Refused by the API, each alone in a request.
   */
  uint64_t rejected;
  /**
   * Older than `event_ttl_s` before they could be sent.
   */
  uint64_t expired;
  /**
   * Waiting now; about, while more than 4 MiB of them are not taken over by a sender.
   */
  uint64_t pending;
  /**
   * Of the pending: sent, but no answer has settled whether they arrived.
   */
  uint64_t in_doubt;
  /**
   * Requests sent, of every kind.
   */
  uint64_t requests;
  /**
   * Of the requests: sent again because no answer settled them.
   */
  uint64_t retried_requests;
  /**
   * Of the requests: refused by the API.
   */
  uint64_t refused_requests;
  /**
   * Of the requests: sent to find out which event of a refused request was the bad one.
   */
  uint64_t isolation_requests;
  /**
   * Since when delivery is paused.
   */
  int64_t paused_since_ms;
  /**
   * When a paused sender tries again.
   */
  int64_t next_probe_ms;
  /**
   * Bytes on disk that no sender has taken over yet.
   */
  uint64_t journal_bytes;
  /**
   * Files of the journal. A process that enqueues keeps one, also when it is taken over, and up to
   * four whose threads often enqueue at the same time.
   */
  uint64_t segments;
  /**
   * Places of the journal that could not be read and were set aside under `damaged/` in the spool.
   * One is a record, that is an enqueue of one or more events, or several in a row.
   */
  uint64_t damaged_records;
  /**
   * When the oldest pending event was enqueued.
   */
  int64_t oldest_pending_ms;
  /**
   * When a sender was last at work. Long ago, with events pending: nobody sends.
   */
  int64_t sender_seen_ms;
  /**
   * The process id of the sender that was seen then; -1: there never was one.
   */
  int64_t sender_pid;
  /**
   * Files of the journal whose end was cut short. The death of a process does that, and then what
   * is missing was not acknowledged; so does a power cut, and then with `durability` = `process`
   * acknowledged events may be missing.
   */
  uint64_t torn_tails;
  /**
   * Events that `meditopia recover` could not read out of a damaged store.
   */
  uint64_t lost;
  /**
   * Of the requests: their events were accepted. This and what follows counts since the store has
   * version 3.
   */
  uint64_t delivered_requests;
  /**
   * Of the requests: too large.
   */
  uint64_t too_large_requests;
  /**
   * Of the requests: not processed, to be sent again later (no connection, 429).
   */
  uint64_t postponed_requests;
  /**
   * Of the requests: no answer has settled them.
   */
  uint64_t in_doubt_requests;
  /**
   * Of the requests: no event was to blame; delivery paused, or stayed so.
   */
  uint64_t pausing_requests;
  /**
   * Bytes of the bodies of requests that were sent.
   */
  uint64_t sent_bytes;
  /**
   * How often delivery was paused, for whatever reason.
   */
  uint64_t pauses;
  /**
   * How long an enqueue took: of this process, one call of `meditopia_enqueue` in 64. Bounds in
   * microseconds: 0.5 1 2 5 10 20 50 100 200 500 1000 10000 100000 1000000.
   */
  struct meditopia_histogram enqueue;
  /**
   * How long requests took, from their first byte to their answer. Bounds in milliseconds:
   * 1 2.5 5 10 25 50 100 250 500 1000 2500 5000 10000 30000.
   */
  struct meditopia_histogram request;
  /**
   * How long events took, from their enqueue until they were accepted. Bounds in seconds:
   * 0.01 0.1 0.5 1 2.5 5 10 15 30 60 300 1800 3600 86400.
   */
  struct meditopia_histogram delivery;
} meditopia_stats;

/**
 * One line of the log. Never contains a bearer token.
 */
typedef struct meditopia_log_record {
  /**
   * For `meditopia_log_next` set it to sizeof(meditopia_log_record) before the call. For a
   * callback the library has set it: fields beyond it are not there.
   */
  uint32_t struct_size;
  /**
   * One of `meditopia_log_level`.
   */
  int32_t level;
  /**
   * Milliseconds since 1970-01-01T00:00:00Z.
   */
  int64_t time_ms;
  /**
   * What happened. NUL-terminated UTF-8, cut between two characters where it is too long.
   */
  char message[512];
} meditopia_log_record;

/**
 * What a host gives to `meditopia_set_log_callback`. `record` lives for the call only.
 *
 * It runs on a thread of the library or on one that is inside a call to it, possibly on several
 * at once, so it has to be quick and thread-safe. It must not throw, not longjmp, and not call
 * this library.
 */
typedef void (*meditopia_log_fn)(const struct meditopia_log_record *record, void *user_data);

/**
 * One event of a list. Its strings belong to the cursor and live until the next call on it; none
 * is NULL after `MEDITOPIA_OK`.
 */
typedef struct meditopia_row {
  /**
   * Set it to sizeof(meditopia_row) before the call.
   */
  uint32_t struct_size;
  /**
   * HTTP status of the answer; 0: none.
   */
  int32_t http_status;
  /**
   * Above 0; grows along a list. What requeue and discard take. Of an event that no sender has taken
   * over yet it is 2^62 or more, and only tells where it stands in this list.
   */
  int64_t id;
  /**
   * When it was enqueued; in the list of `meditopia_in_doubt_open`, when its first request left.
   * Milliseconds since 1970-01-01T00:00:00Z.
   */
  int64_t first_ms;
  /**
   * In doubt: its last request; rejected: its rejection; else 0. Milliseconds since
   * 1970-01-01T00:00:00Z.
   */
  int64_t last_ms;
  /**
   * How many requests carried the event; in the list of `meditopia_pending_open` those in doubt.
   */
  uint32_t attempts;
  /**
   * One of `meditopia_reason`.
   */
  int32_t reason;
  /**
   * The event as it goes to the API. NUL-terminated.
   */
  const char *event_json;
  /**
   * Its length in bytes, without the NUL.
   */
  size_t event_json_len;
  /**
   * The API's code, such as "A_2001"; empty: none. NUL-terminated.
   */
  const char *api_code;
  /**
   * The API's message, or what the library has to say. NUL-terminated.
   */
  const char *message;
} meditopia_row;

/**
 * Which rejected events a call is about. A field of 0 or NULL asks for nothing; with
 * `{ .struct_size = sizeof(meditopia_filter) }` all events are taken. Several fields: all must hold.
 */
typedef struct meditopia_filter {
  /**
   * Set it to sizeof(meditopia_filter).
   */
  uint32_t struct_size;
  /**
   * One of `meditopia_reason`, but not `MEDITOPIA_REASON_IN_DOUBT`; 0: any.
   */
  int32_t reason;
  /**
   * Only this user's; NULL: any. UTF-8, borrowed for the call.
   */
  const char *partner_user_id;
  /**
   * Only those that the API refused with this code; NULL: any. UTF-8, borrowed for the call.
   */
  const char *api_code;
  /**
   * Only those rejected at this time or later, milliseconds since 1970-01-01T00:00:00Z; 0: any.
   */
  int64_t from_ms;
  /**
   * Only those rejected before this time; 0: any.
   */
  int64_t until_ms;
  /**
   * Only those with a greater id; 0: from the first.
   */
  int64_t after_id;
} meditopia_filter;

/**
 * One request that the API has taken. Its string belongs to the list and lives until the next call on
 * it; it is not NULL after `MEDITOPIA_OK`.
 */
typedef struct meditopia_receipt {
  /**
   * Set it to sizeof(meditopia_receipt) before the call.
   */
  uint32_t struct_size;
  /**
   * HTTP status of the answer.
   */
  int32_t http_status;
  /**
   * Above 0; grows along the list.
   */
  int64_t id;
  /**
   * When the answer came. Milliseconds since 1970-01-01T00:00:00Z.
   */
  int64_t time_ms;
  /**
   * How many requests carried this batch; more than 1 where no answer had settled an earlier one.
   */
  uint32_t attempts;
  /**
   * How many events it held.
   */
  uint32_t events;
  /**
   * Of these: "register".
   */
  uint32_t register_events;
  /**
   * Of these: "signin".
   */
  uint32_t signin_events;
  /**
   * Of these: "audio".
   */
  uint32_t audio_events;
  /**
   * Of these: "video".
   */
  uint32_t video_events;
  /**
   * Of these: "content".
   */
  uint32_t content_events;
  /**
   * How many users they belong to.
   */
  uint32_t users;
  /**
   * Whose they were, in the order of their first events:
   * [{"partner_user_id":"u-1","events":{"video":2}},...]. NUL-terminated.
   */
  const char *users_json;
  /**
   * Its length in bytes, without the NUL.
   */
  size_t users_json_len;
} meditopia_receipt;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI of the loaded library: major << 16 | minor.
 *
 * A program that loads the library by itself (dlopen, PHP, Python) may use it if the major equals
 * `MEDITOPIA_ABI_MAJOR` and the minor is not less than `MEDITOPIA_ABI_MINOR` of its header.
 * Callable from any thread, at any time; does not block and cannot fail.
 */
uint32_t meditopia_abi_version(void);

/**
 * The version of the loaded library, such as "0.1.0".
 *
 * Returns a constant of the library, never NULL. Callable from any thread, at any time; does not
 * block.
 */
const char *meditopia_version(void);

/**
 * The name of a status as it is written in this header, such as "MEDITOPIA_ERROR_PAUSED".
 *
 * For logs. Returns a constant of the library, never NULL; "MEDITOPIA_ERROR_UNKNOWN" for a number
 * that this version does not have. Callable from any thread, at any time; does not block.
 */
const char *meditopia_status_name(meditopia_status status);

/**
 * The bytes of a text, NUL-terminated; they live until `meditopia_text_free`.
 *
 * NULL for NULL. Callable from any thread; does not block.
 */
const char *meditopia_text_data(const struct meditopia_text *text);

/**
 * The length of a text in bytes, without the NUL after it.
 *
 * 0 for NULL. Callable from any thread; does not block.
 */
size_t meditopia_text_len(const struct meditopia_text *text);

/**
 * Frees a text; NULL does nothing.
 */
void meditopia_text_free(struct meditopia_text *text);

/**
 * A configuration with every default. Free it with `meditopia_config_free`.
 *
 * NULL only after a defect of this library. Callable from any thread; does not block.
 */
struct meditopia_config *meditopia_config_new(void);

/**
 * Sets one option. Later calls win, also over what a file or the environment said.
 *
 * `key` and `value` are UTF-8 and borrowed for the call. Every value is text: numbers in decimal,
 * booleans as "true" or "false", and an empty value unsets what has no default.
 *
 *   key                  type, default, range: meaning
 *
 *   spool                path, required, no default: a directory of this user's alone, on a local
 *                        disk; made (0700) if it is not there. The events live here
 *   endpoint             URL, https://partners.meditopia.com/default/v1/events: the full URL.
 *                        https only; http to loopback, for tests
 *   account              text, empty: sets spools of several accounts apart
 *   bearer_token         secret, none: what the API calls Bearer Token. Needed to send, not to
 *                        enqueue. Never read back, never logged
 *   bearer_token_file    path, none: a file that holds the bearer token, read again when the API
 *                        refuses the token
 *   durability           "process", "power" or "memory"; process: survive the death of the
 *                        process; a power cut too (each enqueue waits for the disk); or nothing:
 *                        a private temporary spool for tests, removed at close
 *   role                 "both" or "enqueue"; both: enqueue and send, or only enqueue and leave
 *                        sending to another process. No thread starts with "enqueue"
 *   flush_interval_ms    number, 10000: how long an event waits at most for its batch to fill
 *   batch_max            number, 100, 1 to 100: events in one request
 *   lanes                number, 1, 1 to 16: requests in flight; a user's events share one lane
 *   connect_timeout_ms   number, 10000: to look the name up, connect and agree on TLS
 *   request_timeout_ms   number, 30000: from the first byte sent to the last byte received
 *   proxy                URL, none: an HTTP proxy. The environment's is not looked at
 *   ca_file              path, none: PEM certificates to trust instead of the system's
 *   max_spool_bytes      number, 0 = no limit: when the spool is larger, enqueue returns
 *                        MEDITOPIA_ERROR_SPOOL_FULL. Approximate; rejected events not counted
 *   max_event_bytes      number, 65536: the longest event, as JSON
 *   utc_offset           "+HH:MM" or "-HH:MM", +00:00: the zone that received_at is converted to
 *   event_ttl_s          number, 0 = never: older events are not sent; they are kept and listed
 *                        as expired
 *   max_requests_per_s   number, 0 = no limit: for one sender
 *   brake_users          number, 20, 0 = off: after lone refusals of so many different users
 *                        in a row nothing more is rejected; after as many more delivery pauses
 *                        (MEDITOPIA_PAUSE_MASS_REJECTION)
 *   receipts_days        number, 7, 0 = off: for how long it can be asked whose events were delivered
 *                        when (`meditopia_receipts_open`)
 *   log_level            "error", "warn", "info" or "debug"; info: the least level that is logged
 *   allow_network_spool  boolean, false: accept a spool on a network file system, where locks and
 *                        promises may not hold
 *
 * Does not block.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            an unknown key (the message names the nearest known one) or
 *                                     a value out of range; nothing is changed
 *
 * Example:
 *
 *   meditopia_config *config = meditopia_config_new();
 *   status = meditopia_config_set(config, "spool", "/var/spool/myapp/meditopia", &error);
 */
meditopia_status meditopia_config_set(struct meditopia_config *config,
                                      const char *key,
                                      const char *value,
                                      struct meditopia_error *error);

/**
 * Reads one option back, as text; a default where nothing was set. Secrets are refused.
 *
 * `*out` gets a new text for `meditopia_text_free`; NULL after an error. Does not block.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            an unknown key, or a secret
 */
meditopia_status meditopia_config_get(const struct meditopia_config *config,
                                      const char *key,
                                      struct meditopia_text **out,
                                      struct meditopia_error *error);

/**
 * Sets options from the environment: `MEDITOPIA_ENDPOINT`, `MEDITOPIA_SPOOL` and so on, each key
 * of `meditopia_config_set` in capitals.
 *
 * The only function of this library that reads the environment. As for every reader, no other
 * thread may call setenv meanwhile. An unknown key is logged when a client opens, and ignored, so
 * that hosts of two versions can share one environment. After an error any part of it may be set.
 * Does not block.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_CONFIG` (the message names the
 * variable).
 */
meditopia_status meditopia_config_load_env(struct meditopia_config *config,
                                           struct meditopia_error *error);

/**
 * Sets options from a TOML file of `key = value` lines with the keys of `meditopia_config_set`.
 *
 * `path` is UTF-8 and borrowed for the call. An unknown key is logged when a client opens, and
 * ignored. After an error any part of the file may be set. Reads the file, and blocks no longer
 * than that.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            it cannot be read, is not TOML, or a value is out of range
 */
meditopia_status meditopia_config_load_file(struct meditopia_config *config,
                                            const char *path,
                                            struct meditopia_error *error);

/**
 * Frees a configuration; NULL does nothing. Clients opened from it have their own copy.
 */
void meditopia_config_free(struct meditopia_config *config);

/**
 * Opens a client of the spool that `config` names; makes the spool if it is not there.
 *
 * The configuration is copied and may be freed at once. `*out` gets the client for
 * `meditopia_client_free`; NULL after an error. `error` may be NULL.
 *
 * Reads a few small files; no network I/O, and no thread: with `role` "both" one starts at the
 * first enqueue. Callable from any thread. A prefork master may open it, and its workers use what
 * they inherit.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL
 *   MEDITOPIA_ERROR_CONFIG            no spool, or options that contradict each other
 *   MEDITOPIA_ERROR_CONFLICT          this process has the spool open with another value for the
 *                                     key that the message names
 *   MEDITOPIA_ERROR_SPOOL_MISMATCH    the spool is another user's, endpoint's or account's, or
 *                                     was copied or moved
 *   MEDITOPIA_ERROR_SPOOL_FULL        no room to make it
 *   MEDITOPIA_ERROR_IO
 *   MEDITOPIA_ERROR_STORE             of a newer version than this library
 *
 * Example:
 *
 *   meditopia_client *client = NULL;
 *   if (meditopia_client_open(config, &client, &error) < 0) {
 *       fprintf(stderr, "meditopia: %s\n", error.message);
 *       return 1;
 *   }
 */
meditopia_status meditopia_client_open(const struct meditopia_config *config,
                                       struct meditopia_client **out,
                                       struct meditopia_error *error);

/**
 * Waits until everything that was enqueued on this spool before the call, by any process, is
 * delivered or rejected. Sends itself if nobody else does, even with `role` "enqueue".
 *
 * `timeout_ms` is how long it waits at most, 0 to 4294967295 milliseconds, name look-up included.
 * `report` (may be NULL, else set its `struct_size`) is written whatever the status; with
 * `MEDITOPIA_OK` its `rejected` may well be above 0.
 *
 * Callable from any thread.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL, or `struct_size` not set
 *   MEDITOPIA_ERROR_TIMEOUT           events are still waiting; they are kept
 *   MEDITOPIA_ERROR_PAUSED            `pause_reason` says why (a missing bearer token is one);
 *                                     everything is kept
 *   MEDITOPIA_ERROR_CONFIG            `ca_file` cannot be used
 *   MEDITOPIA_ERROR_SPOOL_FULL, MEDITOPIA_ERROR_IO, MEDITOPIA_ERROR_STORE
 *   MEDITOPIA_ERROR_FORKED            this process may not send, and nobody else did in time
 *   MEDITOPIA_ERROR_CLOSED
 *
 * Example:
 *
 *   meditopia_report report = { .struct_size = sizeof report };
 *   status = meditopia_flush(client, 30000, &report, &error);
 *   printf("%llu delivered\n", (unsigned long long)report.delivered);
 */
meditopia_status meditopia_flush(struct meditopia_client *client,
                                 uint32_t timeout_ms,
                                 struct meditopia_report *report,
                                 struct meditopia_error *error);

/**
 * Ends the work of a client: with `role` "both", if anything was enqueued or flushed by this
 * process, it flushes and stops; with "enqueue" it only stops and never sends. What is not delivered by then waits in the spool for the next sender.
 *
 * `timeout_ms` is how long it waits at most, 0 to 4294967295 milliseconds; 0 is legal and loses
 * nothing. `report` (may be NULL, else set its `struct_size`) is written whatever the status; to
 * count what waits it reads the part of the spool that no sender has taken over yet.
 *
 * The client is closed whatever the status, `MEDITOPIA_ERROR_INVALID_ARGUMENT` apart: other calls
 * return `MEDITOPIA_ERROR_CLOSED` from now on, and the log callback runs no more. Closing again is
 * `MEDITOPIA_OK`. Callable from any thread. A process that ends without it loses nothing.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, and as for `meditopia_flush`
 * `MEDITOPIA_ERROR_TIMEOUT`, `MEDITOPIA_ERROR_PAUSED`, `MEDITOPIA_ERROR_CONFIG`,
 * `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_FORKED`.
 */
meditopia_status meditopia_client_close(struct meditopia_client *client,
                                        uint32_t timeout_ms,
                                        struct meditopia_report *report,
                                        struct meditopia_error *error);

/**
 * Frees a client, after the last call by any thread; closes it with a timeout of 0 if it is open.
 * NULL does nothing.
 *
 * Callable from any thread, and in a forked process for its own copy of the handle. Cursors and
 * texts are freed on their own, before or after.
 */
void meditopia_client_free(struct meditopia_client *client);

/**
 * Replaces the bearer token of this process, from the next request on; ends a pause for
 * `MEDITOPIA_PAUSE_AUTH` at once. If another process sends, and its token was refused, it gives way
 * within a second or so to this one, provided that this one may send: `role` = "both", or a
 * `meditopia_flush` that waits.
 *
 * `bearer_token` is UTF-8, without "Bearer " before it, and borrowed for the call. It is kept in
 * memory only. Does not block. Callable from any thread.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            empty, or not fit for an HTTP header
 *   MEDITOPIA_ERROR_IO                the sender could not be told
 *   MEDITOPIA_ERROR_CLOSED
 */
meditopia_status meditopia_set_bearer_token(struct meditopia_client *client,
                                            const char *bearer_token,
                                            struct meditopia_error *error);

/**
 * Stops sending from this spool, in every process, until `meditopia_resume`; survives a restart.
 * Enqueue goes on. Holding twice is `MEDITOPIA_OK`.
 *
 * A request that is on its way is finished. Waits until the spool's sender has taken the order,
 * normally less than a second and at most five. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (it may still take
 * effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_hold(struct meditopia_client *client, struct meditopia_error *error);

/**
 * Ends a hold, any other pause but `MEDITOPIA_PAUSE_STORE_DAMAGED`, and the wait after a failed
 * request, also one that the API asked for: the sender tries again at once. Resuming what is not paused is `MEDITOPIA_OK`.
 *
 * Blocking, threads and errors as for `meditopia_hold`.
 */
meditopia_status meditopia_resume(struct meditopia_client *client,
                                  struct meditopia_error *error);

/**
 * Queues one event. When it returns `MEDITOPIA_OK` the event is safe at the configured
 * `durability` and will be delivered, or kept with the reason why not, whatever happens to this
 * process.
 *
 * All strings are UTF-8, NUL-terminated and borrowed for the call only.
 *
 *   client           an open client
 *   token            the user's token (not the bearer token); not empty
 *   partner_user_id  the user's id in your application; not empty
 *   event            "register", "signin", "audio", "video" or "content"
 *   event_value      more about the event; NULL is sent as null, anything else as a JSON string
 *   received_at      "YYYY-MM-DD HH:MM:SS", passed on unchanged; or RFC 3339, such as
 *                    "2024-08-06T15:04:05Z", converted to `utc_offset` with fractions cut; NULL:
 *                    now
 *   error            may be NULL
 *
 * The whole event is at most `max_event_bytes` as JSON.
 *
 * Does no network I/O and never waits for the sender: it costs one write to a file, and with
 * `durability` "power" one wait for the disk. Callable from any thread, also after fork. Events of
 * one user whose calls did not overlap arrive in the order of the calls.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8; the message names the argument
 *   MEDITOPIA_ERROR_INVALID_EVENT     the message names the field; nothing is queued
 *   MEDITOPIA_ERROR_SPOOL_FULL        nothing is queued; try again when there is room
 *   MEDITOPIA_ERROR_IO                unknown: the event may still be delivered
 *   MEDITOPIA_ERROR_CLOSED
 *
 * Example:
 *
 *   if (meditopia_enqueue(client, "user-token-1", "user-1", "video", NULL, NULL, &error) < 0)
 *       fprintf(stderr, "meditopia: %s\n", error.message);
 */
meditopia_status meditopia_enqueue(struct meditopia_client *client,
                                   const char *token,
                                   const char *partner_user_id,
                                   const char *event,
                                   const char *event_value,
                                   const char *received_at,
                                   struct meditopia_error *error);

/**
 * Queues one event whose strings carry their lengths in bytes: `meditopia_enqueue` for languages
 * whose strings need not end with NUL.
 *
 * A NUL byte inside does not cut a string; it is part of it. `event_value` and `received_at` may
 * be NULL with length 0, which means null and now; NULL with another length is an error, and so
 * is NULL for the others. An `event_value` that is not NULL with length 0 is the empty string.
 *
 * Blocking, threads, fork and errors as for `meditopia_enqueue`.
 */
meditopia_status meditopia_enqueue_n(struct meditopia_client *client,
                                     const char *token,
                                     size_t token_len,
                                     const char *partner_user_id,
                                     size_t partner_user_id_len,
                                     const char *event,
                                     size_t event_len,
                                     const char *event_value,
                                     size_t event_value_len,
                                     const char *received_at,
                                     size_t received_at_len,
                                     struct meditopia_error *error);

/**
 * Queues many events at once: all of them or none, also across a crash.
 *
 * `json` is `len` bytes of UTF-8, borrowed for the call: one event object, an array of them, or
 * {"events": [...]} as in the API's own documentation. There may be more than 100; they are cut
 * into requests later. Members are those of `meditopia_enqueue`; an unknown or repeated member is
 * an error. A missing `event_value` is null, and one that is there goes out byte for byte; a
 * missing or null `received_at` is now.
 *
 * `accepted` (may be NULL) gets the number of events queued; 0 after an error.
 *
 * Cheaper than one call an event. Blocking, threads and fork as for `meditopia_enqueue`.
 *
 * Errors: those of `meditopia_enqueue`, `MEDITOPIA_ERROR_INVALID_ARGUMENT` also for what is not
 * JSON. With `MEDITOPIA_ERROR_INVALID_EVENT`, `event_index` says which event it was, counted from 0.
 *
 * Example:
 *
 *   const char *json = "[{\"token\":\"t-1\",\"partner_user_id\":\"u-1\",\"event\":\"signin\"}]";
 *   size_t accepted = 0;
 *   status = meditopia_enqueue_json(client, json, strlen(json), &accepted, &error);
 */
meditopia_status meditopia_enqueue_json(struct meditopia_client *client,
                                        const char *json,
                                        size_t len,
                                        size_t *accepted,
                                        struct meditopia_error *error);

/**
 * Reads the counters and states of the spool.
 *
 * `stats` is the caller's; set its `struct_size`. Looks into the store, and into at most 8 MiB of what
 * no sender has taken over; never waits for the sender. `meditopia_sender_seen` is cheaper. Callable
 * from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, or `struct_size` not set),
 * `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_FORKED`,
 * `MEDITOPIA_ERROR_CLOSED`.
 *
 * Example:
 *
 *   meditopia_stats stats = { .struct_size = sizeof stats };
 *   if (meditopia_get_stats(client, &stats, &error) == MEDITOPIA_OK && stats.pause_reason != 0)
 *       alert("delivery is paused");
 */
meditopia_status meditopia_get_stats(struct meditopia_client *client,
                                     struct meditopia_stats *stats,
                                     struct meditopia_error *error);

/**
 * Says when a sender was last at work on the spool, and whether events wait: for a host that only
 * enqueues and wants to know that somebody sends.
 *
 *   seen_ms  gets the time in milliseconds since 1970-01-01T00:00:00Z; -1: there never was one
 *   waiting  gets 1 if events seem to wait, else 0
 *
 * Reads one small file and the sizes of the journal's files, so it suits a web request; what waits is
 * as of the sender's last word, at most a second old while it runs. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_sender_seen(struct meditopia_client *client,
                                       int64_t *seen_ms,
                                       int32_t *waiting,
                                       struct meditopia_error *error);

/**
 * Reads the counters and states of the spool as text, for a metrics page or a log.
 *
 * `format` is one of `meditopia_format`. `*out` gets a new text for `meditopia_text_free`; NULL
 * after an error. Blocking, threads and errors as for `meditopia_get_stats`.
 */
meditopia_status meditopia_stats_text(struct meditopia_client *client,
                                      int32_t format,
                                      struct meditopia_text **out,
                                      struct meditopia_error *error);

/**
 * Has `callback` called with every record of `log_level` and above, instead of the one before it.
 * NULL unsets it.
 *
 * `user_data` is handed to the callback; it may be NULL, and must live until the callback is
 * replaced or unset, or the client is closed. When this function or `meditopia_client_close`
 * returns, the callback before it runs no more; it does not run in a forked process either. Waits
 * for a callback that is running. Callable from any thread, but not from the callback.
 *
 * The library writes its log nowhere else: not to stdout, stderr or syslog. Languages whose code may not run on
 * a foreign thread (PHP) poll `meditopia_log_next` instead.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_CLOSED`.
 *
 * Example:
 *
 *   static void to_stderr(const meditopia_log_record *record, void *user_data) {
 *       (void)user_data;
 *       fprintf(stderr, "meditopia: %s\n", record->message);
 *   }
 *   status = meditopia_set_log_callback(client, to_stderr, NULL, &error);
 */
meditopia_status meditopia_set_log_callback(struct meditopia_client *client,
                                            meditopia_log_fn callback,
                                            void *user_data,
                                            struct meditopia_error *error);

/**
 * Takes the oldest record that no call of this function has taken yet, for hosts that cannot be called
 * back. A callback takes none.
 *
 * `record` is the caller's; set its `struct_size`. A few hundred records wait; beyond that the
 * oldest are dropped. Returns `MEDITOPIA_OK` with a record, or `MEDITOPIA_DONE` when none waits.
 * Does not block. Callable from any thread; each record goes to one caller.
 *
 * After `meditopia_client_close` it gives what is left, what the close has said among it.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, or `struct_size` not set),
 * `MEDITOPIA_ERROR_CLOSED` (the client is closed, and nothing is left).
 */
meditopia_status meditopia_log_next(struct meditopia_client *client,
                                    struct meditopia_log_record *record,
                                    struct meditopia_error *error);

/**
 * Lists the events that were rejected, have expired or were set aside, oldest first. They stay until
 * an operator requeues or discards them. For more than user and code see `meditopia_rejected_find`.
 *
 *   partner_user_id  only this user's; NULL: any. UTF-8, borrowed for the call
 *   api_code         only those that the API refused with this code; NULL: any
 *   after_id         only those with a greater id; 0: from the first
 *   out              gets the cursor for `meditopia_cursor_free`; NULL after an error
 *
 * Reads the store, by page, beside the sender and without waiting for it. Callable from any
 * thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
 *
 * Example:
 *
 *   meditopia_cursor *cursor = NULL;
 *   meditopia_row row = { .struct_size = sizeof row };
 *   status = meditopia_rejected_open(client, NULL, NULL, 0, &cursor, &error);
 *   while (status == MEDITOPIA_OK) {
 *       status = meditopia_cursor_next(cursor, &row, &error);
 *       if (status == MEDITOPIA_OK)
 *           printf("%lld %s: %s\n", (long long)row.id, row.api_code, row.event_json);
 *   }
 *   meditopia_cursor_free(cursor);
 */
meditopia_status meditopia_rejected_open(struct meditopia_client *client,
                                         const char *partner_user_id,
                                         const char *api_code,
                                         int64_t after_id,
                                         struct meditopia_cursor **out,
                                         struct meditopia_error *error);

/**
 * Lists the events that were sent while no answer has settled whether they arrived, with their
 * attempts, oldest first. They are repeated before anything else; nothing has to be done.
 *
 * `after_id`, `out`, blocking, threads and errors as for `meditopia_rejected_open`.
 */
meditopia_status meditopia_in_doubt_open(struct meditopia_client *client,
                                         int64_t after_id,
                                         struct meditopia_cursor **out,
                                         struct meditopia_error *error);

/**
 * Lists the events that wait: first those that a sender has taken over (`MEDITOPIA_REASON_PENDING`, or
 * `MEDITOPIA_REASON_IN_DOUBT`), then those that none has (`MEDITOPIA_REASON_JOURNALLED`).
 *
 *   partner_user_id  only this user's; NULL: any. UTF-8, borrowed for the call
 *   after_id         only those with a greater id; 0: from the first
 *   out              gets the cursor for `meditopia_cursor_free`; NULL after an error
 *
 * Each page is read by itself beside a running sender: what is delivered while you walk is not listed,
 * what is enqueued may be. One that is set behind its user's bad events meanwhile may come twice. With
 * a user, each page may go through all that waits.
 *
 * Blocking, threads and errors as for `meditopia_rejected_open`.
 */
meditopia_status meditopia_pending_open(struct meditopia_client *client,
                                        const char *partner_user_id,
                                        int64_t after_id,
                                        struct meditopia_cursor **out,
                                        struct meditopia_error *error);

/**
 * Goes to the next event: `MEDITOPIA_OK` with a row, or `MEDITOPIA_DONE` at the end of the list.
 *
 * `row` is the caller's; set its `struct_size` once. Its strings live until the next call on this
 * cursor. After `MEDITOPIA_DONE` or an error all of it but `struct_size` is zero.
 *
 * May read a page of the store; never waits for the sender. One thread at a time.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, or `struct_size` not set),
 * `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_FORKED`,
 * `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_cursor_next(struct meditopia_cursor *cursor,
                                       struct meditopia_row *row,
                                       struct meditopia_error *error);

/**
 * Frees a cursor and the strings of its last row; NULL does nothing.
 */
void meditopia_cursor_free(struct meditopia_cursor *cursor);

/**
 * Lists the rejected events that `filter` takes, oldest first. They stay until an operator requeues
 * or discards them.
 *
 *   filter  which; it is read during the call only
 *   out     gets the cursor for `meditopia_cursor_free`; NULL after an error
 *
 * Reads the store, by page, beside the sender and without waiting for it. Callable from any
 * thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, `struct_size` not set, a reason that no rejected
 * event has, or a field that this version does not know), `MEDITOPIA_ERROR_IO`,
 * `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
 *
 * Example: what was rejected in the last hour.
 *
 *   meditopia_filter filter = { .struct_size = sizeof filter };
 *   filter.from_ms = (int64_t)(time(NULL) - 3600) * 1000;
 *   status = meditopia_rejected_find(client, &filter, &cursor, &error);
 */
meditopia_status meditopia_rejected_find(struct meditopia_client *client,
                                         const struct meditopia_filter *filter,
                                         struct meditopia_cursor **out,
                                         struct meditopia_error *error);

/**
 * Sends rejected or expired events again, as if they were enqueued now: they go to the end.
 *
 * `ids` are `count` ids of rows, borrowed for the call; NULL with `count` 0 is nothing to do. An
 * id that is not in the list any more is skipped. `changed` (may be NULL) gets how many were
 * there; 0 after an error. All of them change together or none does.
 *
 * Waits until the spool's sender has taken the order, normally less than a second and at most
 * five. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (it may still take
 * effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_rejected_requeue(struct meditopia_client *client,
                                            const int64_t *ids,
                                            size_t count,
                                            size_t *changed,
                                            struct meditopia_error *error);

/**
 * Sends all rejected events that `filter` takes again, as if they were enqueued now: they go to the
 * end, in the order of their rejection, so each user's stay in their order.
 *
 * Only events that are in the list when the call begins. They change in portions of 1,000, each as
 * a whole. `changed` (may be NULL) gets how many there were; 0 after an error.
 *
 * Blocking, threads and errors as for `meditopia_rejected_requeue`; of the errors for `filter` see
 * `meditopia_rejected_find`. After `MEDITOPIA_ERROR_TIMEOUT` the sender may be still at it.
 *
 * Example: after a user was created at the partner's.
 *
 *   meditopia_filter filter = { .struct_size = sizeof filter, .partner_user_id = "user-17" };
 *   status = meditopia_rejected_requeue_matching(client, &filter, &changed, &error);
 */
meditopia_status meditopia_rejected_requeue_matching(struct meditopia_client *client,
                                                     const struct meditopia_filter *filter,
                                                     size_t *changed,
                                                     struct meditopia_error *error);

/**
 * Forgets rejected or expired events for ever. This and
 * `meditopia_rejected_discard_matching` are the only functions that remove an event which was not
 * delivered.
 *
 * Arguments, blocking, threads and errors as for `meditopia_rejected_requeue`.
 */
meditopia_status meditopia_rejected_discard(struct meditopia_client *client,
                                            const int64_t *ids,
                                            size_t count,
                                            size_t *changed,
                                            struct meditopia_error *error);

/**
 * Forgets all rejected events that `filter` takes for ever: export them first if in doubt.
 *
 * Arguments, blocking, threads and errors as for `meditopia_rejected_requeue_matching`.
 */
meditopia_status meditopia_rejected_discard_matching(struct meditopia_client *client,
                                                     const struct meditopia_filter *filter,
                                                     size_t *changed,
                                                     struct meditopia_error *error);

/**
 * Writes the rejected events that `filter` takes to a new file, one JSON object a line (NDJSON):
 *
 *   {"id":1,"reason":"refused","may_be_delivered":false,"api_code":"U_404","message":"...",
 *    "http_status":404,"attempts":3,"first_ms":...,"last_ms":...,"event":{...}}
 *
 * on one line. `reason` is "refused", "expired" or "set_aside"; `http_status` may be null; `event` is
 * what went to the API. The events stay in the list.
 *
 *   path     must not exist; the file is its owner's alone (0600). After an error it may hold a
 *            part. UTF-8, borrowed for the call
 *   written  (may be NULL) gets how many events it holds; 0 after an error
 *
 * Reads the store, by page, beside the sender and without waiting for it; takes as long as the disk
 * does. Callable from any thread.
 *
 * Errors: as for `meditopia_rejected_find`, and `MEDITOPIA_ERROR_IO` for the file.
 */
meditopia_status meditopia_rejected_export(struct meditopia_client *client,
                                           const struct meditopia_filter *filter,
                                           const char *path,
                                           size_t *written,
                                           struct meditopia_error *error);

/**
 * Takes events that are in doubt out of their batch, so that the rest can go: for the one that the
 * API answers with a server error again and again (`MEDITOPIA_PAUSE_SERVER_ERROR`).
 *
 * `ids` are ids of rows of `meditopia_in_doubt_open`. The events go to the list of the rejected as
 * `MEDITOPIA_REASON_SET_ASIDE`, since they may have been delivered, and can be requeued from there. An
 * event whose request is on its way at that moment stays: after `meditopia_hold` no further one leaves,
 * but the one on its way is not waited for, so call again when `changed` is less than asked for. Which
 * one of a batch it is, setting aside halves and `meditopia_resume` find out.
 *
 * Arguments, blocking, threads and errors as for `meditopia_rejected_requeue`.
 */
meditopia_status meditopia_in_doubt_set_aside(struct meditopia_client *client,
                                              const int64_t *ids,
                                              size_t count,
                                              size_t *changed,
                                              struct meditopia_error *error);

/**
 * Lists which requests the API has taken within the last `receipts_days`, oldest first: "where are
 * the events of this user?" A batch that was delivered while the disk was full is not listed.
 *
 *   partner_user_id  only those with an event of this user; NULL: any. UTF-8, borrowed for the call
 *   from_ms          only those of this time or later, milliseconds since 1970-01-01T00:00:00Z; 0: any
 *   until_ms         only those before this time; 0: any
 *   after_id         only those with a greater id; 0: from the first
 *   out              gets the list for `meditopia_receipts_free`; NULL after an error
 *
 * Reads the store, by page, beside the sender and without waiting for it. With a user, all receipts
 * of the time are gone through. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
 *
 * Example:
 *
 *   meditopia_receipts *receipts = NULL;
 *   meditopia_receipt receipt = { .struct_size = sizeof receipt };
 *   status = meditopia_receipts_open(client, "user-17", 0, 0, 0, &receipts, &error);
 *   while (status == MEDITOPIA_OK) {
 *       status = meditopia_receipts_next(receipts, &receipt, &error);
 *       if (status == MEDITOPIA_OK)
 *           printf("%lld: %u events\n", (long long)receipt.time_ms, (unsigned)receipt.events);
 *   }
 *   meditopia_receipts_free(receipts);
 */
meditopia_status meditopia_receipts_open(struct meditopia_client *client,
                                         const char *partner_user_id,
                                         int64_t from_ms,
                                         int64_t until_ms,
                                         int64_t after_id,
                                         struct meditopia_receipts **out,
                                         struct meditopia_error *error);

/**
 * Goes to the next receipt: `MEDITOPIA_OK` with one, or `MEDITOPIA_DONE` at the end of the list.
 *
 * `receipt` is the caller's; set its `struct_size` once. Its string lives until the next call on this
 * list. After `MEDITOPIA_DONE` or an error all of it but `struct_size` is zero.
 *
 * May read pages of the store; never waits for the sender. One thread at a time.
 *
 * Errors: as for `meditopia_cursor_next`.
 */
meditopia_status meditopia_receipts_next(struct meditopia_receipts *receipts,
                                         struct meditopia_receipt *receipt,
                                         struct meditopia_error *error);

/**
 * Frees a list of receipts and the string of its last one; NULL does nothing.
 */
void meditopia_receipts_free(struct meditopia_receipts *receipts);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MEDITOPIA_H */
