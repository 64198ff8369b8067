/* meditopia.h - queues user-activity events durably and delivers them to the Meditopia Partners API.
 *
 * Made from src/ffi by `UPDATE_HEADERS=1 cargo test --test abi headers`; do not edit.
 *
 * THE MODEL
 *
 * An enqueue appends the event to a file in the *spool*, a directory on a local disk that belongs
 * to your user, and returns. A *sender* takes the appended events over and delivers them, at most
 * 100 in one request. At any time a spool has one sender, which the processes that may send elect
 * among themselves: a background thread of one of them (`role` "both", the default), a call of
 * meditopia_flush, or the daemon `meditopia run`. If the process of the sender dies, another one
 * takes its place within a second.
 *
 * PROMISES
 *
 * 1. When an enqueue returns MEDITOPIA_OK, the event is safe: it is pending, delivered, or kept among
 *    the rejected events with the reason, until you remove it there. With `durability` "process" (the
 *    default) the event survives the death of the process by any signal; with "power" it also
 *    survives a power cut.
 * 2. An event is rejected only after the API refused it alone in a request. The other events of its
 *    request are not affected.
 * 3. Events of one partner_user_id whose enqueues did not overlap arrive in the order of the enqueues.
 * 4. An event is sent again only if no answer settled its request, or the process died between the
 *    204 and the local commit: at most one batch a lane. meditopia_in_doubt_open lists such events. A
 *    power cut with `durability` "process" may also repeat what was delivered since the last sync.
 * 5. Enqueue does no network I/O and never waits for the sender. Every other call that waits has a
 *    deadline.
 * 6. The library writes nothing to stdout, and nothing to stderr except the message about a defect in
 *    itself. It installs no signal handler, reads no environment variable (except in
 *    meditopia_config_load_env) and never ends your process. Its threads block all signals.
 * 7. The bearer token is in no file, log record or error of the library.
 *
 * A refused token, a refused address or an answer that the library does not understand loses no event:
 * delivery *pauses*. The library keeps every event, says why it paused (pause_reason), and goes on by
 * itself when the cause is gone. Only an operator ends MEDITOPIA_PAUSE_HOLD (meditopia_resume) and
 * MEDITOPIA_PAUSE_STORE_DAMAGED (`meditopia recover`).
 *
 * LIFECYCLE
 *
 *   meditopia_config_new, _set ...   the options; only the spool has to be set
 *   meditopia_client_open            copies them
 *   meditopia_enqueue ...            from any thread
 *   meditopia_flush                  only if you want to wait for delivery
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
 * A function that can fail returns a meditopia_status, which is 0 or above for success, and takes a
 * meditopia_error as its last argument, where NULL is always accepted. Any other argument may be NULL
 * only where its documentation says so; otherwise the function returns
 * MEDITOPIA_ERROR_INVALID_ARGUMENT. Every function may return that error, and
 * MEDITOPIA_ERROR_INTERNAL for a defect in the library.
 *
 * Strings that you pass are UTF-8 and borrowed for the call. An object that the library gives you
 * through an `out` argument is yours: free it with the `*_free` function of its type. `*_free(NULL)`
 * does nothing. After an error every output is blank (NULL, 0, or the value that means "none"), never
 * uninitialised.
 *
 * A struct that starts with struct_size may grow at its end in a later version. Set struct_size to the
 * sizeof of the struct before the call. The library writes no byte beyond it and does not change
 * struct_size, so one struct serves a whole loop. meditopia_error has no struct_size, because its
 * layout never changes.
 *
 * THREADS
 *
 * Any number of threads may use one meditopia_client at the same time, or read one meditopia_text. A
 * meditopia_config, a meditopia_cursor or a meditopia_receipts may be used by one thread at a time.
 * Free each handle once, after the last call with it on any thread has returned. Nothing is kept per
 * thread: the error of a call is in the meditopia_error that was passed to it and nowhere else. No
 * function is safe in a signal handler.
 *
 * SIGNALS AND LIMITS
 *
 * A signal handler may interrupt any call, with or without SA_RESTART: the call goes on. If the process
 * may start no thread (RLIMIT_NPROC, pids.max), enqueue works, and a flush, or a close of a client that has
 * enqueued, returns MEDITOPIA_ERROR_IO or _TIMEOUT while events wait. No file grows beyond RLIMIT_FSIZE: what
 * does not fit is MEDITOPIA_ERROR_SPOOL_FULL. A lowered limit takes effect within 10 ms.
 *
 * Two copies of the library in one process work like two processes. What is set in one, such as a token,
 * is not known to the other; the log says so once.
 *
 * FORK
 *
 * A client that was opened before fork works in the child like in any other process: it enqueues,
 * flushes, sends and lists, with files, threads and connections of its own. The log callback does not
 * run in the child; the child may set its own. It may free the handles that it inherited, or leave
 * them. If a log callback itself forks, the child must not return from it.
 *
 * WHAT AN APPLICATION MUST NOT DO
 *
 * - Close descriptors of the library while one of its calls runs in another thread, or in a signal
 *   handler that interrupts a call. Between calls an
 *   application may close all descriptors, as daemons do, and get their numbers for files of its own:
 *   the library looks before it writes to a descriptor or closes it, never takes one of the
 *   application's for its own, and opens anew what it needs. The threads of a sender look, too, but
 *   they work at any time: close descriptors before the first enqueue, or after the client's close,
 *   and not even the moment between a look and a write is left. A flush that meets closed descriptors
 *   may return MEDITOPIA_ERROR_IO; call it again.
 * - Write into the spool, or let another program do so: rotate, cut, clean or restore files in it. A
 *   segment of the journal that another program removes, moves, cuts or replaces is left within 10 ms
 *   of enqueuing, and nothing that is acknowledged after that is lost; what stood in it and had not
 *   been taken over is. A segment that is restored from a backup may be sent again.
 * - Call the library in a signal handler, or return from a log callback in a child that it forked.
 * - Use a handle that was freed, or free it while a call with it runs in another thread, a close
 *   excepted.
 */

#ifndef MEDITOPIA_H
#define MEDITOPIA_H

#include <stddef.h>
#include <stdint.h>

/* Before a function whose result says whether events are queued. Define it as nothing for no warnings. */
#ifndef MEDITOPIA_MUST_CHECK
#if defined(__GNUC__)
#define MEDITOPIA_MUST_CHECK __attribute__((warn_unused_result))
#else
#define MEDITOPIA_MUST_CHECK
#endif
#endif

/**
 * The version of this header, for `#if`. Changes when applications have to be compiled again. It
 * is also part of the library's file name (libmeditopia.so.0).
 */
#define MEDITOPIA_ABI_MAJOR 0

/**
 * Grows when a function, a constant, or a field at the end of a struct is added.
 */
#define MEDITOPIA_ABI_MINOR 3

/**
 * The formats of `meditopia_stats_text`.
 */
typedef enum meditopia_format {
  /**
   * One JSON object.
   */
  MEDITOPIA_FORMAT_JSON = 0,
  /**
   * The text format of Prometheus.
   */
  MEDITOPIA_FORMAT_PROMETHEUS = 1,
} meditopia_format;

/**
 * The values of `meditopia_log_record.level`. A lower number is more urgent.
 */
typedef enum meditopia_log_level {
  /**
   * Events are at risk or are not being delivered: delivery is paused, or the disk is full.
   */
  MEDITOPIA_LOG_ERROR = 1,
  /**
   * Something that an operator should check: an event was rejected, or no process sends.
   */
  MEDITOPIA_LOG_WARN = 2,
  /**
   * What the library does, a few records per hour: a pause is over, or goes on after a probe; the
   * disk has room again; another process may send.
   */
  MEDITOPIA_LOG_INFO = 3,
  /**
   * Every request.
   */
  MEDITOPIA_LOG_DEBUG = 4,
} meditopia_log_level;

/**
 * Why delivery is paused: the values of every `pause_reason` field. During a pause the library
 * keeps every event. Except during `MEDITOPIA_PAUSE_STORE_DAMAGED` and `MEDITOPIA_PAUSE_HOLD`, and
 * while it has no bearer token, the library sends one probe request at growing intervals (30 s to
 * 15 min); its answer can end the pause. A new process that sends, and `meditopia_flush`, have that
 * request sent at once, but never within 30 s of the last one. `meditopia_set_bearer_token` (if the
 * token was the cause) and `meditopia_resume` (except `MEDITOPIA_PAUSE_STORE_DAMAGED`) end a pause at once.
 */
typedef enum meditopia_pause_reason {
  /**
   * Delivery is not paused.
   */
  MEDITOPIA_PAUSE_NONE = 0,
  /**
   * The API refused the bearer token, or the sender has none.
   */
  MEDITOPIA_PAUSE_AUTH = 1,
  /**
   * The API does not accept requests from the address of this host. Ask Meditopia to allow the
   * address.
   */
  MEDITOPIA_PAUSE_IP = 2,
  /**
   * The answers do not look like those of the Partners API: the URL is wrong, or a proxy
   * answers.
   */
  MEDITOPIA_PAUSE_MISROUTED = 3,
  /**
   * The API refused events of many different users in a row, each alone in a request
   * (`brake_users`). A mistake of the application is more likely than so many bad users.
   */
  MEDITOPIA_PAUSE_MASS_REJECTION = 4,
  /**
   * The API answers the same request with server errors again and again.
   */
  MEDITOPIA_PAUSE_SERVER_ERROR = 5,
  /**
   * The store cannot be trusted until an operator recovers it (`meditopia recover`).
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
   * The API refused the event alone in a request. The event was not delivered.
   */
  MEDITOPIA_REASON_REFUSED = 1,
  /**
   * The event was older than `event_ttl_s` before it could be sent.
   */
  MEDITOPIA_REASON_EXPIRED = 2,
  /**
   * The event was sent, but no answer settled whether it arrived. The sender repeats it.
   */
  MEDITOPIA_REASON_IN_DOUBT = 3,
  /**
   * The API refused the event alone in a request, but no answer settled an earlier request with
   * it: that request may have delivered the event. Check before you requeue it.
   */
  MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED = 4,
  /**
   * The event was in doubt, and an operator set it aside (`meditopia_in_doubt_set_aside`). It
   * may have been delivered.
   */
  MEDITOPIA_REASON_SET_ASIDE = 5,
  /**
   * The event was older than `event_ttl_s`, but no answer settled an earlier request with it:
   * that request may have delivered the event.
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
   * Success.
   */
  MEDITOPIA_OK = 0,
  /**
   * The end of a list or of the log: there is no further entry. This is a success.
   */
  MEDITOPIA_DONE = 1,
  /**
   * An argument is NULL where NULL is not allowed, is not UTF-8 or is out of range, or a
   * `struct_size` is not set. The message names the argument. This is a mistake in the calling
   * code.
   */
  MEDITOPIA_ERROR_INVALID_ARGUMENT = -1,
  /**
   * An event breaks a rule of the API. The message names the field, and `event_index` is the
   * index of the event. Nothing was queued, not even the valid events of the same call.
   */
  MEDITOPIA_ERROR_INVALID_EVENT = -2,
  /**
   * The configuration is incomplete or contradictory, or a key or a value is not known.
   */
  MEDITOPIA_ERROR_CONFIG = -3,
  /**
   * Another client of this process has the same spool open with another value of an option. The
   * message names the key.
   */
  MEDITOPIA_ERROR_CONFLICT = -4,
  /**
   * The spool belongs to another user, endpoint or account, or was copied or moved. An operator
   * decides what to do (`meditopia adopt`).
   */
  MEDITOPIA_ERROR_SPOOL_MISMATCH = -5,
  /**
   * The disk is full, or the spool has reached `max_spool_bytes`. The events of this call were
   * not queued; every event that was acknowledged before stays safe. Retryable.
   */
  MEDITOPIA_ERROR_SPOOL_FULL = -6,
  /**
   * The operating system refused a read or a write. If an enqueue fails with this error, its
   * outcome is unknown: the event may still be delivered. Retryable.
   */
  MEDITOPIA_ERROR_IO = -7,
  /**
   * Delivery is paused; `pause_reason` says why. Every event is kept, and enqueue still works.
   * Retryable.
   */
  MEDITOPIA_ERROR_PAUSED = -8,
  /**
   * The deadline passed first. Every event is kept, and delivery goes on. Retryable.
   */
  MEDITOPIA_ERROR_TIMEOUT = -9,
  /**
   * The client was closed before this call.
   */
  MEDITOPIA_ERROR_CLOSED = -10,
  /**
   * The store of the spool is damaged, or a newer version of the library wrote it. Enqueue still
   * works.
   */
  MEDITOPIA_ERROR_STORE = -11,
  /**
   * Reserved; no version returns it. A forked process sends, flushes and lists like any other.
   */
  MEDITOPIA_ERROR_FORKED = -12,
  /**
   * A defect in this library, caught before it reached your code. Please report the message.
   */
  MEDITOPIA_ERROR_INTERNAL = -13,
} meditopia_status_code;

/**
 * A client of one spool. Any number of threads may call its functions at the same time, and a
 * process forked from the one that opened it may go on using it. Clients of one process that name
 * the same spool share one writer, one sender and one log.
 */
typedef struct meditopia_client meditopia_client;

/**
 * Options for `meditopia_client_open`. A configuration is plain memory: it opens nothing and
 * survives fork. One thread at a time may use it.
 */
typedef struct meditopia_config meditopia_config;

/**
 * A position in a list of events. One thread at a time may use it; it may move between threads. It
 * holds no transaction, so it may stay open as long as you like.
 */
typedef struct meditopia_cursor meditopia_cursor;

/**
 * A position in a list of receipts. One thread at a time may use it; it may move between threads.
 * It holds no transaction, so it may stay open as long as you like.
 */
typedef struct meditopia_receipts meditopia_receipts;

/**
 * A UTF-8 text made by the library. It never changes, so any number of threads may read it at the
 * same time. The caller frees it once with `meditopia_text_free`. It stays valid when the client
 * or the config that it came from is freed.
 */
typedef struct meditopia_text meditopia_text;

/**
 * The result of every function that can fail: one of `meditopia_status_code`.
 *
 * 0 and above is success. Treat a negative number that you do not know like
 * `MEDITOPIA_ERROR_INTERNAL`, because a later version may add errors.
 */
typedef int32_t meditopia_status;

/**
 * What went wrong in a call. Every function accepts NULL in place of this struct.
 *
 * The caller owns the struct and need not initialise it, because every call fills it in. After a
 * success it holds that status, and every other field says that there is nothing: 0, an empty
 * string, or -1 for `event_index`. The layout never changes. Only one call at a time may use one
 * struct.
 */
typedef struct meditopia_error {
  /**
   * The status that the call returned.
   */
  int32_t status;
  /**
   * HTTP status of the API's answer that led to the error; 0: none.
   */
  int32_t http_status;
  /**
   * 1: the same call may succeed later without any change by the caller. 0: it will not.
   */
  int32_t retryable;
  /**
   * One of `meditopia_pause_reason`. It differs from `MEDITOPIA_PAUSE_NONE` only with
   * `MEDITOPIA_ERROR_PAUSED`.
   */
  int32_t pause_reason;
  /**
   * Which event of the call the error is about, counted from 0; -1: none.
   */
  int64_t event_index;
  /**
   * The API's error code, such as "A_1002"; empty: none. NUL-terminated UTF-8.
   */
  char api_code[32];
  /**
   * What happened, to what, and what to do next. NUL-terminated UTF-8; a longer text is cut
   * between two characters. Never contains a bearer token.
   */
  char message[512];
  /**
   * Zero. A later version may give these bytes a meaning.
   */
  uint64_t reserved[9];
} meditopia_error;

/**
 * What happened to the events during a `meditopia_flush` or `meditopia_client_close`. It is
 * written whatever the status is, also with `MEDITOPIA_ERROR_TIMEOUT` and
 * `MEDITOPIA_ERROR_PAUSED`. It is all zero if nothing is known.
 *
 * The counts are events of the whole spool, those of other processes included.
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
   * Events that the API accepted since the call began.
   */
  uint64_t delivered;
  /**
   * Events that the API refused since the call began, each alone in a request. They are kept,
   * and `meditopia_rejected_open` lists them.
   */
  uint64_t rejected;
  /**
   * Events that expired since the call began, because they were older than `event_ttl_s`. They
   * are kept and listed with the rejected events.
   */
  uint64_t expired;
  /**
   * Events that were waiting when the call returned.
   */
  uint64_t pending;
  /**
   * Of the pending events: sent, but no answer settled whether they arrived.
   */
  uint64_t in_doubt;
  /**
   * When the pause began, in milliseconds since 1970-01-01T00:00:00Z; 0: delivery is not paused,
   * or the time is not known.
   */
  int64_t paused_since_ms;
  /**
   * When the next probe is sent to see whether the pause can end, in milliseconds since
   * 1970-01-01T00:00:00Z; 0: delivery is not paused, or only an operator can end the pause.
   */
  int64_t next_probe_ms;
} meditopia_report;

/**
 * Durations, counted in buckets whose bounds never change.
 */
typedef struct meditopia_histogram {
  /**
   * How many durations were measured.
   */
  uint64_t count;
  /**
   * The sum of the durations, in microseconds.
   */
  uint64_t sum_us;
  /**
   * How many durations fell into each bucket: they were longer than the bound of the bucket
   * before, and at most its own. The last bucket has no bound. `meditopia_stats_text` names the
   * bounds.
   */
  uint64_t buckets[15];
} meditopia_histogram;

/**
 * Counters and gauges of a spool, over all its processes. A counter is a number of events since
 * the spool was created, unless its comment says otherwise. A time is in milliseconds since
 * 1970-01-01T00:00:00Z; -1: there is none.
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
   * Events that this process enqueued, and that were acknowledged, since it opened the spool.
   */
  uint64_t enqueued;
  /**
   * Events that the API accepted.
   */
  uint64_t delivered;
  /**
   * Events that the API refused, each alone in a request.
   */
  uint64_t rejected;
  /**
   * Events that were older than `event_ttl_s` before they could be sent.
   */
  uint64_t expired;
  /**
   * Events that wait now.
   */
  uint64_t pending;
  /**
   * Of the pending events: sent, but no answer settled whether they arrived.
   */
  uint64_t in_doubt;
  /**
   * Requests sent, of every kind.
   */
  uint64_t requests;
  /**
   * Of the requests: those sent again because no answer settled them.
   */
  uint64_t retried_requests;
  /**
   * Of the requests: those that the API refused.
   */
  uint64_t refused_requests;
  /**
   * Of the requests: those sent to find the bad events of a refused request.
   */
  uint64_t isolation_requests;
  /**
   * When the pause began.
   */
  int64_t paused_since_ms;
  /**
   * When a paused sender sends its next probe.
   */
  int64_t next_probe_ms;
  /**
   * Bytes on disk that no sender has taken over yet.
   */
  uint64_t journal_bytes;
  /**
   * Files of the journal. A process that enqueues keeps one, even when all of it is taken over.
   * A process whose threads often enqueue at the same time keeps up to four.
   */
  uint64_t segments;
  /**
   * Places of the journal that could not be read and were set aside under `damaged/` in the
   * spool. A place is one record, which is one enqueue of one or more events, or several records
   * in a row.
   */
  uint64_t damaged_records;
  /**
   * When the oldest pending event was enqueued.
   */
  int64_t oldest_pending_ms;
  /**
   * When a sender was last at work. If that was long ago and events are pending, no process is
   * sending.
   */
  int64_t sender_seen_ms;
  /**
   * The process id of that sender; -1: there never was one.
   */
  int64_t sender_pid;
  /**
   * Files of the journal whose end was cut short. The death of a process cuts a file short; the
   * missing part was then not acknowledged. A power cut does so too; with `durability` "process"
   * the missing part may then hold acknowledged events.
   */
  uint64_t torn_tails;
  /**
   * At most how many events `meditopia recover` could not read from a damaged store. An upper bound.
   */
  uint64_t lost;
  /**
   * Of the requests: those whose events the API accepted. This field and the ones below count
   * from version 3 of the store on.
   */
  uint64_t delivered_requests;
  /**
   * Of the requests: those that were too large.
   */
  uint64_t too_large_requests;
  /**
   * Of the requests: those that were not processed and will be sent again later (no connection,
   * HTTP 429).
   */
  uint64_t postponed_requests;
  /**
   * Of the requests: those whose own end settled nothing. A repetition may have settled it, so that
   * `in_doubt` is 0 again.
   */
  uint64_t in_doubt_requests;
  /**
   * Of the requests: those that failed through no fault of an event, so that delivery paused or
   * stayed paused.
   */
  uint64_t pausing_requests;
  /**
   * Bytes of the request bodies that were sent.
   */
  uint64_t sent_bytes;
  /**
   * How many times delivery paused, for any reason.
   */
  uint64_t pauses;
  /**
   * How long the enqueues of this process took; one call of `meditopia_enqueue` in 64 is
   * measured. Bounds in microseconds: 0.5 1 2 5 10 20 50 100 200 500 1000 10000 100000 1000000.
   */
  struct meditopia_histogram enqueue;
  /**
   * How long requests took, from their first byte to their answer. Bounds in milliseconds: 1 2.5
   * 5 10 25 50 100 250 500 1000 2500 5000 10000 30000.
   */
  struct meditopia_histogram request;
  /**
   * How long events took, from their enqueue until the API accepted them. Bounds in seconds:
   * 0.01 0.1 0.5 1 2.5 5 10 15 30 60 300 1800 3600 86400.
   */
  struct meditopia_histogram delivery;
  /**
   * When the API last answered a request. Neither a server error nor a login page is an answer of
   * the API.
   */
  int64_t answered_ms;
  /**
   * When the API last accepted events.
   */
  int64_t accepted_ms;
  /**
   * 1 if the store cannot be read, otherwise 0. The figures that the store keeps are then missing:
   * `pending`, `in_doubt` and all counters but `enqueued` are 0, whatever they were.
   */
  uint64_t store_unreadable;
  /**
   * Of `damaged_records` and `lost` together: how many no operator has acknowledged, by
   * `meditopia damaged acknowledge`.
   */
  uint64_t damage_unacknowledged;
} meditopia_stats;

/**
 * One record of the log. Never contains a bearer token.
 */
typedef struct meditopia_log_record {
  /**
   * For `meditopia_log_next`, set it to sizeof(meditopia_log_record) before the call. For a
   * callback the library has set it; fields beyond that size are not there.
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
   * What happened. NUL-terminated UTF-8; a longer text is cut between two characters.
   */
  char message[512];
} meditopia_log_record;

/**
 * The function that an application passes to `meditopia_set_log_callback`. `record` is valid
 * during the call only.
 *
 * The function runs on a thread of the library, or on a thread that is inside a call of it, and
 * possibly on several threads at once. So it has to be quick and thread-safe, and must not throw,
 * call longjmp or call this library.
 */
typedef void (*meditopia_log_fn)(const struct meditopia_log_record *record, void *user_data);

/**
 * One event of a list. Its strings belong to the cursor and are valid until the next call with the
 * cursor. After `MEDITOPIA_OK` none of them is NULL.
 */
typedef struct meditopia_row {
  /**
   * Set it to sizeof(meditopia_row) before the call.
   */
  uint32_t struct_size;
  /**
   * HTTP status of the answer, in doubt of the last one; 0: none.
   */
  int32_t http_status;
  /**
   * Greater than 0, and increasing along a list. The functions that requeue, discard or set
   * aside events take it. The id of an event that no sender has taken over yet is 2^62 or more,
   * and only says where the event stands in this list.
   */
  int64_t id;
  /**
   * When the event was enqueued; in a list of `meditopia_in_doubt_open`, when its first request
   * was sent. Milliseconds since 1970-01-01T00:00:00Z.
   */
  int64_t first_ms;
  /**
   * In doubt: when the last request was sent. Rejected: when the event was rejected. Otherwise
   * 0. Milliseconds since 1970-01-01T00:00:00Z.
   */
  int64_t last_ms;
  /**
   * How many requests carried the event. A list of `meditopia_pending_open` counts only those in
   * doubt.
   */
  uint32_t attempts;
  /**
   * One of `meditopia_reason`.
   */
  int32_t reason;
  /**
   * The event as it is sent to the API. NUL-terminated.
   */
  const char *event_json;
  /**
   * The length of `event_json` in bytes, without the NUL.
   */
  size_t event_json_len;
  /**
   * The API's error code, such as "A_2001"; empty: none. NUL-terminated.
   */
  const char *api_code;
  /**
   * The message of the API, or of the library. NUL-terminated.
   */
  const char *message;
} meditopia_row;

/**
 * Selects rejected events. A field of 0 or NULL sets no condition:
 * `{ .struct_size = sizeof(meditopia_filter) }` selects all events. If several fields are set, an
 * event has to meet all of them.
 */
typedef struct meditopia_filter {
  /**
   * Set it to sizeof(meditopia_filter).
   */
  uint32_t struct_size;
  /**
   * One of `meditopia_reason`; 0: any. No rejected event has `MEDITOPIA_REASON_IN_DOUBT`,
   * `MEDITOPIA_REASON_PENDING` or `MEDITOPIA_REASON_JOURNALLED`.
   */
  int32_t reason;
  /**
   * Only events of this user; NULL: all users. UTF-8, borrowed for the call.
   */
  const char *partner_user_id;
  /**
   * Only events that the API refused with this code; NULL: all events. UTF-8, borrowed for the
   * call.
   */
  const char *api_code;
  /**
   * Only events rejected at this time or later, milliseconds since 1970-01-01T00:00:00Z; 0: no
   * limit.
   */
  int64_t from_ms;
  /**
   * Only events rejected before this time; 0: no limit.
   */
  int64_t until_ms;
  /**
   * Only events with a greater id; 0: from the first.
   */
  int64_t after_id;
} meditopia_filter;

/**
 * One request that the API accepted. Its string belongs to the list and is valid until the next
 * call with the list. After `MEDITOPIA_OK` it is not NULL.
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
   * Greater than 0, and increasing along the list.
   */
  int64_t id;
  /**
   * When the answer came. Milliseconds since 1970-01-01T00:00:00Z.
   */
  int64_t time_ms;
  /**
   * How many requests carried this batch; more than 1 if no answer settled an earlier one.
   */
  uint32_t attempts;
  /**
   * How many events the batch held.
   */
  uint32_t events;
  /**
   * How many of them were "register".
   */
  uint32_t register_events;
  /**
   * How many of them were "signin".
   */
  uint32_t signin_events;
  /**
   * How many of them were "audio".
   */
  uint32_t audio_events;
  /**
   * How many of them were "video".
   */
  uint32_t video_events;
  /**
   * How many of them were "content".
   */
  uint32_t content_events;
  /**
   * How many users the events belong to.
   */
  uint32_t users;
  /**
   * The users and their events, in the order of the users' first events:
   * [{"partner_user_id":"u-1","events":{"video":2}},...]. NUL-terminated.
   */
  const char *users_json;
  /**
   * The length of `users_json` in bytes, without the NUL.
   */
  size_t users_json_len;
} meditopia_receipt;

/**
 * What `meditopia_forget_user` has done. It is all zero after an error.
 */
typedef struct meditopia_erasure {
  /**
   * Set it to sizeof(meditopia_erasure) before the call.
   */
  uint32_t struct_size;
  /**
   * 1: nothing of the user is left in the spool; 0: `in_flight` or `files_left` is not 0.
   */
  uint32_t is_complete;
  /**
   * Events that waited to be sent, and are erased.
   */
  uint64_t pending;
  /**
   * Rejected events that are erased.
   */
  uint64_t rejected;
  /**
   * Receipts that named the user, and do not any more.
   */
  uint64_t receipts;
  /**
   * Events that cannot be taken back: a request with them is under way, or none has been answered.
   */
  uint64_t in_flight;
  /**
   * Files of the spool in which the user still stands: because of events in flight, of events that
   * were enqueued meanwhile, of damage that was set aside or of an import that did not end. The
   * command `meditopia forget` names them. Not more than 100 are counted.
   */
  uint64_t files_left;
} meditopia_erasure;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the loaded library: major << 16 | minor.
 *
 * An application that loads the library at run time (dlopen, PHP, Python) may use it if its major
 * version equals the `MEDITOPIA_ABI_MAJOR` of the application's header, and its minor version is
 * at least the `MEDITOPIA_ABI_MINOR` of that header. Callable from any thread at any time; does
 * not block and cannot fail.
 */
uint32_t meditopia_abi_version(void);

/**
 * The version of the loaded library, such as "0.2.0".
 *
 * Returns a constant of the library, never NULL. Callable from any thread at any time; does not
 * block.
 */
const char *meditopia_version(void);

/**
 * The name of a status as this header writes it, such as "MEDITOPIA_ERROR_PAUSED".
 *
 * For logs. Returns a constant of the library, never NULL: "MEDITOPIA_ERROR_UNKNOWN" for a number
 * that this version does not know. Callable from any thread at any time; does not block.
 */
const char *meditopia_status_name(meditopia_status status);

/**
 * The bytes of a text, NUL-terminated. They stay valid until `meditopia_text_free`.
 *
 * Returns NULL for NULL. Callable from any thread; does not block.
 */
const char *meditopia_text_data(const struct meditopia_text *text);

/**
 * The length of a text in bytes, without the NUL at its end.
 *
 * Returns 0 for NULL. Callable from any thread; does not block.
 */
size_t meditopia_text_len(const struct meditopia_text *text);

/**
 * Frees a text. NULL does nothing.
 */
void meditopia_text_free(struct meditopia_text *text);

/**
 * Makes a configuration with the default of every option. Free it with `meditopia_config_free`.
 *
 * Returns NULL only after a defect in this library. Callable from any thread; does not block.
 */
struct meditopia_config *meditopia_config_new(void);

/**
 * Sets one option. The last call that sets an option wins, whether the value came from this
 * function, from a file or from the environment.
 *
 * `key` and `value` are UTF-8 and borrowed for the call. Every value is text: numbers are decimal,
 * booleans are "true" or "false". An empty value unsets an option that has no default.
 *
 *   key                  type, default, range: meaning
 *
 *   spool                path, required, no default: a directory on a local disk that belongs to
 *                        this user alone. It holds the events, and is created (0700) if it does
 *                        not exist
 *   endpoint             URL, https://partners.meditopia.com/default/v1/events: the full URL that
 *                        events are posted to. https only; http only to loopback, for tests. If
 *                        it is not set, the endpoint of an existing spool of this user counts
 *   account              text, empty: tells the spools of several accounts apart
 *   bearer_token         secret, none: the API's bearer token. Needed to send, not to enqueue.
 *                        Never read back, never logged
 *   bearer_token_file    path, none: a file that holds the bearer token. It takes precedence over
 *                        bearer_token, and is read again when the API refuses the token
 *   durability           "process", "power" or "memory"; process: what an acknowledged event
 *                        survives. "process": the death of the process. "power": also a power cut
 *                        (each enqueue waits for the disk). "memory": nothing; a private temporary
 *                        spool for tests, removed at close
 *   role                 "both" or "enqueue"; both: "both": enqueue, and send when elected.
 *                        "enqueue": only enqueue, start no thread, and leave sending to another
 *                        process; only a call of meditopia_flush sends in this one
 *   flush_interval_ms    number, 10000, 10 to 86400000: longest time that an event waits for its
 *                        batch to fill
 *   batch_max            number, 100, 1 to 100: maximum number of events in one request
 *   lanes                number, 1, 1 to 16: maximum number of requests in flight. All events of a
 *                        user go through one lane
 *   connect_timeout_ms   number, 10000, 10 to 3600000: time limit for the name look-up, the
 *                        connection and TLS together
 *   request_timeout_ms   number, 30000, 10 to 3600000: time limit from the first byte sent to the
 *                        last byte received
 *   proxy                URL, none: an HTTP proxy. It may contain a password, so it is never read
 *                        back. Proxies that the environment names are ignored, and an http
 *                        endpoint on this host is reached without one
 *   ca_file              path, none: PEM certificates to trust instead of the system's. Read
 *                        again when it changes
 *   max_spool_bytes      number, 0 = no limit: if the spool is larger than this, enqueue returns
 *                        MEDITOPIA_ERROR_SPOOL_FULL. Approximate; rejected events do not count
 *   max_event_bytes      number, 65536, 256 to 1048576: maximum size of one event, as JSON
 *   utc_offset           "+HH:MM" or "-HH:MM", +00:00: the time zone that received_at is converted
 *                        to
 *   event_ttl_s          number, 0 = never: age from which events are not sent any more; they are
 *                        kept and listed as expired
 *   max_requests_per_s   number, 0 = no limit, up to 10000: maximum number of requests per second
 *                        from one sender
 *   brake_users          number, 20, 0 = off, up to 1000000: after lone refusals of this many
 *                        different users in a row, nothing more is rejected; after as many again,
 *                        delivery pauses (MEDITOPIA_PAUSE_MASS_REJECTION)
 *   receipts_days        number, 7, 0 = off, up to 3650: how many days receipts are kept. A
 *                        receipt says when the events of which users were delivered
 *                        (`meditopia_receipts_open`)
 *   log_level            "error", "warn", "info", "debug" or "off"; info: the least urgent level
 *                        that is logged
 *   allow_network_spool  boolean, false: accept a spool on a network file system, where locks and
 *                        promises may not hold
 *   trust_group          boolean, false: accept a spool whose directory the group may write to, and
 *                        that another user may own, if this process is in the group: what
 *                        Kubernetes (fsGroup) and OpenShift set up
 *
 * Does not block.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            the key is unknown (the message names the nearest known
 *                                     key), or the value is out of range; nothing is changed
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
 * Reads one option as text; if nothing has set it, its default. Secrets are refused.
 *
 * `*out` receives a new text, to be freed with `meditopia_text_free`; after an error it is NULL.
 * Does not block.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            the key is unknown, or the option is a secret
 */
meditopia_status meditopia_config_get(const struct meditopia_config *config,
                                      const char *key,
                                      struct meditopia_text **out,
                                      struct meditopia_error *error);

/**
 * Sets options from environment variables: `MEDITOPIA_ENDPOINT`, `MEDITOPIA_SPOOL` and so on, one
 * for each key of `meditopia_config_set`, in capitals.
 *
 * No other function of this library reads the environment. As with every reader of the
 * environment, no other thread may call setenv at the same time. An unknown key is ignored, and
 * logged when a client opens, so that applications with two versions of the library can share one
 * environment. After an error, some of the options may have been set. Does not block.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_CONFIG` (the message names the
 * variable).
 */
meditopia_status meditopia_config_load_env(struct meditopia_config *config,
                                           struct meditopia_error *error);

/**
 * Sets options from a TOML file of `key = value` lines, with the keys of `meditopia_config_set`.
 *
 * `path` is UTF-8 and borrowed for the call. An unknown key is ignored, and logged when a client
 * opens. After an error, some of the options may have been set. Blocks only while it reads the
 * file.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            the file cannot be read or is not TOML, or a value is out of
 *                                     range
 */
meditopia_status meditopia_config_load_file(struct meditopia_config *config,
                                            const char *path,
                                            struct meditopia_error *error);

/**
 * Frees a configuration. Clients opened from it have a copy of their own. NULL does nothing.
 */
void meditopia_config_free(struct meditopia_config *config);

/**
 * Opens a client of the spool that `config` names, and creates the spool if it does not exist.
 *
 * The configuration is copied, so you may free it at once. `*out` receives the client, to be freed
 * with `meditopia_client_free`; after an error it is NULL. `error` may be NULL.
 *
 * Reads a few small files. Does no network I/O and starts no thread: with `role` "both" a thread
 * starts at the first enqueue. Callable from any thread. The master of a prefork server may open
 * the client, and its workers use the handle that they inherit.
 *
 * Open it after dropping rights (`setuid`): the spool belongs to the user who opens it. A process
 * that changes its user later gets `MEDITOPIA_ERROR_SPOOL_MISMATCH` from calls on the client. One
 * that changes its root directory (`chroot`) goes on with the spool that it has open.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL
 *   MEDITOPIA_ERROR_CONFIG            no spool is named, options contradict each other, or there is
 *                                     no /proc/sys/kernel/random/boot_id, as in a chroot without it
 *   MEDITOPIA_ERROR_CONFLICT          this process has the spool open with another value of the
 *                                     key that the message names
 *   MEDITOPIA_ERROR_SPOOL_MISMATCH    the spool belongs to another user, endpoint or account, or
 *                                     was copied or moved
 *   MEDITOPIA_ERROR_SPOOL_FULL        there is no room to create the spool
 *   MEDITOPIA_ERROR_IO
 *   MEDITOPIA_ERROR_STORE             a newer version of the library wrote the spool
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
 * Waits until every event that any process enqueued on this spool before the call is delivered or
 * rejected. If no other process sends, this call sends, even with `role` "enqueue".
 *
 * If delivery is paused, the call tries again first: one probe request is sent at once, unless the last
 * one was less than 30 s ago or an operator holds delivery. The call ends with the probe's answer.
 *
 * `timeout_ms` is the longest time that it waits, 0 to 4294967295 milliseconds, name look-up
 * included. `report` may be NULL; otherwise set its `struct_size`. It is written whatever the
 * status is. Even with `MEDITOPIA_OK` its `rejected` may be above 0.
 *
 * Callable from any thread.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  `client` is NULL, or `struct_size` is not set
 *   MEDITOPIA_ERROR_TIMEOUT           events are still waiting; they are kept
 *   MEDITOPIA_ERROR_PAUSED            `pause_reason` says why (a missing bearer token is one
 *                                     reason); every event is kept
 *   MEDITOPIA_ERROR_CONFIG            `ca_file` cannot be used
 *   MEDITOPIA_ERROR_SPOOL_FULL, MEDITOPIA_ERROR_IO, MEDITOPIA_ERROR_STORE
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
 * Closes a client. With `role` "both", closing the last client of this process on the spool first
 * flushes, if the process has enqueued or flushed anything, and then stops the sender of this
 * process. With "enqueue" nothing is sent. Events that are not delivered by then wait in the spool
 * for the next sender.
 *
 * `timeout_ms` is the longest time that it waits, 0 to 4294967295 milliseconds. 0 is allowed and
 * loses nothing. `report` may be NULL; otherwise set its `struct_size`. It is written whatever the
 * status is. To count the pending events, the call reads the part of the spool that no sender has
 * taken over yet.
 *
 * The client is closed whatever the status is, except with `MEDITOPIA_ERROR_INVALID_ARGUMENT`:
 * from now on other calls return `MEDITOPIA_ERROR_CLOSED`, and the log callback does not run any
 * more. Closing a client again returns `MEDITOPIA_OK`, after waiting for a thread that is closing it;
 * if that one is not ready in time, `MEDITOPIA_ERROR_TIMEOUT`. Callable from any thread. A process that
 * ends without this call loses nothing.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, and as for `meditopia_flush`
 * `MEDITOPIA_ERROR_TIMEOUT`, `MEDITOPIA_ERROR_PAUSED`, `MEDITOPIA_ERROR_CONFIG`,
 * `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`.
 */
meditopia_status meditopia_client_close(struct meditopia_client *client,
                                        uint32_t timeout_ms,
                                        struct meditopia_report *report,
                                        struct meditopia_error *error);

/**
 * Frees a client, after the last call with it on any thread has returned; a close need not have
 * returned, it is waited for. An open client is closed first, with a timeout of 0. NULL does nothing.
 *
 * Callable from any thread. A forked process may free its own copy of the handle. Cursors and
 * texts are freed on their own, before or after the client.
 */
void meditopia_client_free(struct meditopia_client *client);

/**
 * Replaces the bearer token of this process, from its next request on. A pause for
 * `MEDITOPIA_PAUSE_AUTH` ends with the next step of this process's sender. If another process is
 * the sender and the API refused its token, that process hands over to this one within about a
 * second, provided that this process may send: with `role` "both", or during a `meditopia_flush`
 * that waits.
 *
 * `bearer_token` is UTF-8, without "Bearer " before it, and borrowed for the call. The library
 * keeps it in memory only. Does not block. Callable from any thread.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
 *   MEDITOPIA_ERROR_CONFIG            the token is empty or not valid in an HTTP header
 *   MEDITOPIA_ERROR_CLOSED
 */
meditopia_status meditopia_set_bearer_token(struct meditopia_client *client,
                                            const char *bearer_token,
                                            struct meditopia_error *error);

/**
 * Stops sending from this spool, in every process, until `meditopia_resume`. The hold survives
 * restarts. Enqueue still works. Holding a spool that is held already returns `MEDITOPIA_OK`.
 *
 * A request in flight is finished. The call waits until the spool's sender has carried the command
 * out, normally less than a second and at most five seconds. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (the command may still
 * take effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_hold(struct meditopia_client *client, struct meditopia_error *error);

/**
 * Ends a hold or any other pause except `MEDITOPIA_PAUSE_STORE_DAMAGED`, and the wait after a
 * failed request, even if the API asked for that wait: the sender tries again at once. Resuming a
 * spool that is not paused returns `MEDITOPIA_OK`.
 *
 * Blocking, threads and errors as for `meditopia_hold`.
 */
meditopia_status meditopia_resume(struct meditopia_client *client, struct meditopia_error *error);

/**
 * Queues one event. When it returns `MEDITOPIA_OK`, the event is safe at the configured
 * `durability`: whatever happens to this process, the event will be delivered, or kept with the
 * reason why not.
 *
 * All strings are UTF-8, NUL-terminated and borrowed for the call only.
 *
 *   client           an open client
 *   token            the user's token (not the bearer token); not empty
 *   partner_user_id  the user's id in your application; not empty
 *   event            "register", "signin", "audio", "video" or "content"
 *   event_value      more about the event; NULL is sent as null, any other value as a JSON string
 *   received_at      "YYYY-MM-DD HH:MM:SS", sent unchanged; or RFC 3339, such as
 *                    "2024-08-06T15:04:05Z", converted to `utc_offset` without fractions of a
 *                    second; NULL: now
 *   error            may be NULL
 *
 * The whole event takes at most `max_event_bytes` as JSON.
 *
 * Does no network I/O and never waits for the sender. It costs one write to a file and, with
 * `durability` "power", one wait for the disk. Callable from any thread, also after fork. Events
 * of one user whose calls did not overlap arrive in the order of the calls.
 *
 * Errors:
 *   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8; the message names it
 *   MEDITOPIA_ERROR_INVALID_EVENT     the message names the field; nothing is queued
 *   MEDITOPIA_ERROR_SPOOL_FULL        nothing is queued; try again when there is room
 *   MEDITOPIA_ERROR_IO                the outcome is unknown: the event may still be delivered
 *   MEDITOPIA_ERROR_CLOSED
 *
 * Example:
 *
 *   if (meditopia_enqueue(client, "user-token-1", "user-1", "video", NULL, NULL, &error) < 0)
 *       fprintf(stderr, "meditopia: %s\n", error.message);
 */
MEDITOPIA_MUST_CHECK
meditopia_status meditopia_enqueue(struct meditopia_client *client,
                                   const char *token,
                                   const char *partner_user_id,
                                   const char *event,
                                   const char *event_value,
                                   const char *received_at,
                                   struct meditopia_error *error);

/**
 * Queues one event whose strings carry their lengths in bytes. It is `meditopia_enqueue` for
 * languages whose strings need not end with a NUL.
 *
 * A NUL byte is part of a string and does not end it. `event_value` and `received_at` may be NULL
 * with length 0, which means null and now. NULL with another length is an error, and so is NULL
 * for the other strings. An `event_value` that is not NULL and has length 0 is the empty string.
 *
 * Blocking, threads, fork and errors as for `meditopia_enqueue`.
 */
MEDITOPIA_MUST_CHECK
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
 * Queues many events at once: all of them or none, even across a crash.
 *
 * `json` is `len` bytes of UTF-8, borrowed for the call: one event object, an array of them, or
 * {"events": [...]} as in the API's own documentation. It may hold more than 100 events; the
 * sender divides them into requests. An event has the members token, partner_user_id, event,
 * event_value and received_at, as in `meditopia_enqueue`; an unknown or repeated member is an
 * error. A missing `event_value` is null, and any other is sent byte for byte; it may nest 100
 * levels deep, and a number in it must be one that a double can hold: many parsers refuse a whole
 * request because of 1e400. A missing or null `received_at` is now.
 *
 * `accepted` (may be NULL) receives the number of events queued; 0 after an error.
 *
 * Cheaper than one call per event. Blocking, threads and fork as for `meditopia_enqueue`.
 *
 * Errors: those of `meditopia_enqueue`; `MEDITOPIA_ERROR_INVALID_ARGUMENT` also if `json` is not
 * JSON. With `MEDITOPIA_ERROR_INVALID_EVENT`, `event_index` says which event it was, counted from
 * 0.
 *
 * Example:
 *
 *   const char *json = "[{\"token\":\"t-1\",\"partner_user_id\":\"u-1\",\"event\":\"signin\"}]";
 *   size_t accepted = 0;
 *   status = meditopia_enqueue_json(client, json, strlen(json), &accepted, &error);
 */
MEDITOPIA_MUST_CHECK
meditopia_status meditopia_enqueue_json(struct meditopia_client *client,
                                        const char *json,
                                        size_t len,
                                        size_t *accepted,
                                        struct meditopia_error *error);

/**
 * Reads the counters and gauges of the spool.
 *
 * `stats` is the caller's; set its `struct_size`. The call reads the store, and a few places of
 * each file of the journal that no sender has taken over yet. It never waits for the sender.
 * `meditopia_sender_seen` is cheaper. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, or `struct_size` is not set),
 * `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_CLOSED`.
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
 * Says when a sender was last at work on the spool, and whether events wait. It is meant for an
 * application that only enqueues and has to know that another process sends.
 *
 *   seen_ms  receives the time in milliseconds since 1970-01-01T00:00:00Z; -1: there never was a
 *            sender
 *   waiting  receives 1 if events seem to wait, 0 otherwise
 *
 * Reads one small file and the sizes of the journal's files, so it is cheap enough for a web
 * request. `waiting` relies on the sender's heartbeat, which is at most a second old while the
 * sender runs. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_sender_seen(struct meditopia_client *client,
                                       int64_t *seen_ms,
                                       int32_t *waiting,
                                       struct meditopia_error *error);

/**
 * Reads the counters and gauges of the spool as text, for a metrics page or a log.
 *
 * `format` is one of `meditopia_format`. `*out` receives a new text, to be freed with
 * `meditopia_text_free`; after an error it is NULL. Blocking, threads and errors as for
 * `meditopia_get_stats`.
 */
meditopia_status meditopia_stats_text(struct meditopia_client *client,
                                      int32_t format,
                                      struct meditopia_text **out,
                                      struct meditopia_error *error);

/**
 * Sets the function that is called with every record of `log_level` or more urgent. It replaces
 * the previous callback; NULL only removes that one. Before this function returns, the callback
 * also gets the records that were logged while none was set, at most 256, such as what the opening
 * of the client has to say.
 *
 * `user_data` is passed to the callback. It may be NULL, and has to stay valid until the callback
 * is replaced or removed, or the client is closed. When this function or `meditopia_client_close`
 * returns, the previous callback is not running and will not run again. In a forked process the
 * parent's callback does not run; if a callback forks, the child must not return from it. Waits
 * for a callback that is running. Callable from any thread, but not from the callback.
 *
 * The library writes its log nowhere else: not to stdout, stderr or syslog. Languages whose code
 * may not run on a foreign thread (PHP) poll `meditopia_log_next` instead.
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
 * Takes the oldest log record that no call of this function has taken yet, for applications that
 * cannot use a callback. A callback takes no records away from this function.
 *
 * `record` is the caller's; set its `struct_size`. A few hundred records are kept; beyond that,
 * the oldest are dropped. Returns `MEDITOPIA_OK` with a record, or `MEDITOPIA_DONE` if there is
 * none. Does not block. Callable from any thread; each record goes to one caller.
 *
 * After `meditopia_client_close` it still returns the records that are left, among them those that
 * the close wrote.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, or `struct_size` is not set),
 * `MEDITOPIA_ERROR_CLOSED` (the client is closed, and no record is left).
 */
meditopia_status meditopia_log_next(struct meditopia_client *client,
                                    struct meditopia_log_record *record,
                                    struct meditopia_error *error);

/**
 * Lists the events that were rejected, that expired or that were set aside, oldest first. They
 * stay in the list until an operator requeues or discards them. `meditopia_rejected_find` filters
 * by more than user and code.
 *
 *   partner_user_id  only events of this user; NULL: all users. UTF-8, borrowed for the call
 *   api_code         only events that the API refused with this code; NULL: all events
 *   after_id         only events with a greater id; 0: from the first
 *   out              receives the cursor, to be freed with `meditopia_cursor_free`; NULL after an
 *                    error
 *
 * Reads the store page by page while a sender may be at work, and never waits for the sender.
 * Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_CLOSED`.
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
 * Lists the events in doubt, oldest first. They were sent, but no answer settled whether they
 * arrived. Each row says how many requests carried its event. The sender repeats these events
 * before anything else; you need not do anything.
 *
 * `after_id`, `out`, blocking, threads and errors as for `meditopia_rejected_open`.
 */
meditopia_status meditopia_in_doubt_open(struct meditopia_client *client,
                                         int64_t after_id,
                                         struct meditopia_cursor **out,
                                         struct meditopia_error *error);

/**
 * Lists the events that wait: first those that a sender has taken over (`MEDITOPIA_REASON_PENDING`
 * or `MEDITOPIA_REASON_IN_DOUBT`), then those that none has taken over yet
 * (`MEDITOPIA_REASON_JOURNALLED`).
 *
 *   partner_user_id  only events of this user; NULL: all users. UTF-8, borrowed for the call
 *   after_id         only events with a greater id; 0: from the first
 *   out              receives the cursor, to be freed with `meditopia_cursor_free`; NULL after an
 *                    error
 *
 * Each page is read on its own while a sender may be at work. Events that are delivered while you
 * walk the list are not listed, and events that are enqueued meanwhile may be. An event that the
 * sender moves to another queue meanwhile may be listed twice. With a user, reading one page may
 * read every event that waits.
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
 * `row` is the caller's; set its `struct_size` once. Its strings are valid until the next call
 * with this cursor. After `MEDITOPIA_DONE` or an error, every field except `struct_size` is zero.
 *
 * May read a page of the store; never waits for the sender. One thread at a time may use the
 * cursor.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, or `struct_size` is not set),
 * `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_cursor_next(struct meditopia_cursor *cursor,
                                       struct meditopia_row *row,
                                       struct meditopia_error *error);

/**
 * Frees a cursor and the strings of its last row. NULL does nothing.
 */
void meditopia_cursor_free(struct meditopia_cursor *cursor);

/**
 * Lists the rejected events that `filter` selects, oldest first. They stay in the list until an
 * operator requeues or discards them.
 *
 *   filter  which events; read during the call only
 *   out     receives the cursor, to be freed with `meditopia_cursor_free`; NULL after an error
 *
 * Reads the store page by page while a sender may be at work, and never waits for the sender.
 * Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, `struct_size` is not set, no
 * rejected event can have that `reason`, or a field is set that this version does not know),
 * `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_CLOSED`.
 *
 * Example: the events rejected in the last hour.
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
 * Sends rejected or expired events again, as if they were enqueued now: they go to the end of
 * their queue.
 *
 * `ids` are `count` ids of rows, borrowed for the call; NULL with `count` 0 does nothing. An id
 * that is not in the list any more is skipped. `changed` (may be NULL) receives the number of
 * events that were in the list; 0 after an error. All of them change together or none does.
 *
 * Waits until the spool's sender has carried the command out, normally less than a second and at
 * most five seconds. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (the command may still
 * take effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_CLOSED`.
 */
meditopia_status meditopia_rejected_requeue(struct meditopia_client *client,
                                            const int64_t *ids,
                                            size_t count,
                                            size_t *changed,
                                            struct meditopia_error *error);

/**
 * Sends all rejected events that `filter` selects again, as if they were enqueued now. They go to
 * the end of their queue in the order of their rejection, so the events of each user keep their
 * order.
 *
 * Only events that are in the list when the call begins are sent again. They change in portions of
 * 1,000; each portion changes as a whole. `changed` (may be NULL) receives the number of events; 0
 * after an error.
 *
 * Blocking, threads and errors as for `meditopia_rejected_requeue`; for the errors of `filter` see
 * `meditopia_rejected_find`. After `MEDITOPIA_ERROR_TIMEOUT` the sender may still be changing
 * events.
 *
 * Example: the API did not know this user, and does now.
 *
 *   meditopia_filter filter = { .struct_size = sizeof filter, .partner_user_id = "user-17" };
 *   status = meditopia_rejected_requeue_matching(client, &filter, &changed, &error);
 */
meditopia_status meditopia_rejected_requeue_matching(struct meditopia_client *client,
                                                     const struct meditopia_filter *filter,
                                                     size_t *changed,
                                                     struct meditopia_error *error);

/**
 * Removes rejected or expired events for good. No other function but
 * `meditopia_rejected_discard_matching` removes an event that was not delivered.
 *
 * Arguments, blocking, threads and errors as for `meditopia_rejected_requeue`.
 */
meditopia_status meditopia_rejected_discard(struct meditopia_client *client,
                                            const int64_t *ids,
                                            size_t count,
                                            size_t *changed,
                                            struct meditopia_error *error);

/**
 * Removes all rejected events that `filter` selects for good. If you may need them later, export
 * them first.
 *
 * Arguments, blocking, threads and errors as for `meditopia_rejected_requeue_matching`.
 */
meditopia_status meditopia_rejected_discard_matching(struct meditopia_client *client,
                                                     const struct meditopia_filter *filter,
                                                     size_t *changed,
                                                     struct meditopia_error *error);

/**
 * Writes the rejected events that `filter` selects to a new file, one JSON object per line
 * (NDJSON):
 *
 *   {"id":1,"reason":"refused","may_be_delivered":false,"api_code":"U_404","message":"...",
 *    "http_status":404,"attempts":3,"first_ms":...,"last_ms":...,"event":{...}}
 *
 * In the file, each object is on one line. `reason` is "refused", "expired" or "set_aside";
 * `http_status` may be null; `event` is the event in the form that is sent to the API. The events
 * stay in the list.
 *
 *   path     the file must not exist; only its owner may read it (0600). After an error it may
 *            hold a part of the events. UTF-8, borrowed for the call
 *   written  (may be NULL) receives the number of events in the file; 0 after an error
 *
 * Reads the store page by page while a sender may be at work, and never waits for the sender.
 * Blocks for as long as the disk takes. Callable from any thread.
 *
 * Errors: as for `meditopia_rejected_find`; `MEDITOPIA_ERROR_IO` also for the file.
 */
meditopia_status meditopia_rejected_export(struct meditopia_client *client,
                                           const struct meditopia_filter *filter,
                                           const char *path,
                                           size_t *written,
                                           struct meditopia_error *error);

/**
 * Takes events in doubt out of their batch, so that the rest of the batch can be delivered. Use it
 * if an event makes the API answer with a server error again and again
 * (`MEDITOPIA_PAUSE_SERVER_ERROR`).
 *
 * `ids` are ids of rows of `meditopia_in_doubt_open`. The events move to the list of rejected
 * events with `MEDITOPIA_REASON_SET_ASIDE`, because they may have been delivered. From there they
 * can be requeued.
 *
 * An event whose request is in flight at that moment stays in its batch. After `meditopia_hold` no
 * further request is sent, but the call does not wait for one in flight: call it again if
 * `changed` is less than the number of ids. To find the event that fails, set aside half of the
 * batch, call `meditopia_resume`, and go on with the half that holds it.
 *
 * Arguments, blocking, threads and errors as for `meditopia_rejected_requeue`.
 */
meditopia_status meditopia_in_doubt_set_aside(struct meditopia_client *client,
                                              const int64_t *ids,
                                              size_t count,
                                              size_t *changed,
                                              struct meditopia_error *error);

/**
 * Lists the requests that the API accepted within the last `receipts_days`, oldest first. It
 * answers "where are the events of this user?" A batch that was delivered while the disk was full
 * is not listed.
 *
 *   partner_user_id  only requests with an event of this user; NULL: all users. UTF-8, borrowed
 *                    for the call
 *   from_ms          only requests of this time or later, milliseconds since 1970-01-01T00:00:00Z;
 *                    0: no limit
 *   until_ms         only requests before this time; 0: no limit
 *   after_id         only receipts with a greater id; 0: from the first
 *   out              receives the list, to be freed with `meditopia_receipts_free`; NULL after an
 *                    error
 *
 * Reads the store page by page while a sender may be at work, and never waits for the sender. With
 * a user, every receipt of that time is read. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_CLOSED`.
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
 * Goes to the next receipt: `MEDITOPIA_OK` with a receipt, or `MEDITOPIA_DONE` at the end of the
 * list.
 *
 * `receipt` is the caller's; set its `struct_size` once. Its string is valid until the next call
 * with this list. After `MEDITOPIA_DONE` or an error, every field except `struct_size` is zero.
 *
 * May read pages of the store; never waits for the sender. One thread at a time may use the list.
 *
 * Errors: as for `meditopia_cursor_next`.
 */
meditopia_status meditopia_receipts_next(struct meditopia_receipts *receipts,
                                         struct meditopia_receipt *receipt,
                                         struct meditopia_error *error);

/**
 * Frees a list of receipts and the string of its last one. NULL does nothing.
 */
void meditopia_receipts_free(struct meditopia_receipts *receipts);

/**
 * Erases the events of a user that were enqueued before the call and are not delivered, rejected
 * ones included, and the user's receipts, for good. An event that is enqueued during the call may be
 * erased or stay. When it returns, the bytes of what is erased are in no file of the spool, but for
 * what `erasure` says. What was delivered is at Meditopia, and stays there.
 *
 *   partner_user_id  which user; UTF-8, borrowed for the call
 *   timeout_ms       the longest time that it waits for the spool's sender, 0 to 4294967295
 *                    milliseconds; a sender with much to do needs some seconds; with 0 it
 *                    erases only if no sender runs, else it is MEDITOPIA_ERROR_TIMEOUT
 *   erasure          what was done and what is left; may be NULL, otherwise set its `struct_size`
 *
 * An event of a request that is under way, or that no answer has settled, cannot be taken back. The
 * call waits for that request until `timeout_ms` is over, and then counts the event as `in_flight`: call
 * it again later. Events of other users keep their order.
 *
 * Blocks for as long as the disk takes, with many events for seconds. Callable from any thread.
 *
 * Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (the call may still take
 * effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
 * `MEDITOPIA_ERROR_CLOSED`. After any of them the same call goes on where this one ended.
 *
 * Example:
 *
 *   meditopia_erasure erasure = { .struct_size = sizeof erasure };
 *   status = meditopia_forget_user(client, "user-17", 30000, &erasure, &error);
 *   if (status == MEDITOPIA_OK && !erasure.is_complete) ask_again_later();
 */
meditopia_status meditopia_forget_user(struct meditopia_client *client,
                                       const char *partner_user_id,
                                       uint32_t timeout_ms,
                                       struct meditopia_erasure *erasure,
                                       struct meditopia_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MEDITOPIA_H */
