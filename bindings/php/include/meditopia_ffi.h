/* Made from src/ffi by `UPDATE_HEADERS=1 cargo test --test abi headers`; do not edit.
 *
 * The flat form of meditopia.h for PHP's FFI::cdef and Python's cffi: the same types, numbers and
 * functions, without preprocessor lines. meditopia.h documents them.
 */

typedef enum meditopia_abi {
  MEDITOPIA_ABI_MAJOR = 0,
  MEDITOPIA_ABI_MINOR = 3,
} meditopia_abi;

typedef enum meditopia_format {
  MEDITOPIA_FORMAT_JSON = 0,
  MEDITOPIA_FORMAT_PROMETHEUS = 1,
} meditopia_format;

typedef enum meditopia_log_level {
  MEDITOPIA_LOG_ERROR = 1,
  MEDITOPIA_LOG_WARN = 2,
  MEDITOPIA_LOG_INFO = 3,
  MEDITOPIA_LOG_DEBUG = 4,
} meditopia_log_level;

typedef enum meditopia_pause_reason {
  MEDITOPIA_PAUSE_NONE = 0,
  MEDITOPIA_PAUSE_AUTH = 1,
  MEDITOPIA_PAUSE_IP = 2,
  MEDITOPIA_PAUSE_MISROUTED = 3,
  MEDITOPIA_PAUSE_MASS_REJECTION = 4,
  MEDITOPIA_PAUSE_SERVER_ERROR = 5,
  MEDITOPIA_PAUSE_STORE_DAMAGED = 6,
  MEDITOPIA_PAUSE_HOLD = 7,
} meditopia_pause_reason;

typedef enum meditopia_reason {
  MEDITOPIA_REASON_REFUSED = 1,
  MEDITOPIA_REASON_EXPIRED = 2,
  MEDITOPIA_REASON_IN_DOUBT = 3,
  MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED = 4,
  MEDITOPIA_REASON_SET_ASIDE = 5,
  MEDITOPIA_REASON_EXPIRED_MAY_BE_DELIVERED = 6,
  MEDITOPIA_REASON_PENDING = 7,
  MEDITOPIA_REASON_JOURNALLED = 8,
} meditopia_reason;

typedef enum meditopia_status_code {
  MEDITOPIA_OK = 0,
  MEDITOPIA_DONE = 1,
  MEDITOPIA_ERROR_INVALID_ARGUMENT = -1,
  MEDITOPIA_ERROR_INVALID_EVENT = -2,
  MEDITOPIA_ERROR_CONFIG = -3,
  MEDITOPIA_ERROR_CONFLICT = -4,
  MEDITOPIA_ERROR_SPOOL_MISMATCH = -5,
  MEDITOPIA_ERROR_SPOOL_FULL = -6,
  MEDITOPIA_ERROR_IO = -7,
  MEDITOPIA_ERROR_PAUSED = -8,
  MEDITOPIA_ERROR_TIMEOUT = -9,
  MEDITOPIA_ERROR_CLOSED = -10,
  MEDITOPIA_ERROR_STORE = -11,
  MEDITOPIA_ERROR_FORKED = -12,
  MEDITOPIA_ERROR_INTERNAL = -13,
} meditopia_status_code;

typedef struct meditopia_client meditopia_client;

typedef struct meditopia_config meditopia_config;

typedef struct meditopia_cursor meditopia_cursor;

typedef struct meditopia_receipts meditopia_receipts;

typedef struct meditopia_text meditopia_text;

typedef int32_t meditopia_status;

typedef struct meditopia_error {
  int32_t status;
  int32_t http_status;
  int32_t retryable;
  int32_t pause_reason;
  int64_t event_index;
  char api_code[32];
  char message[512];
  uint64_t reserved[9];
} meditopia_error;

typedef struct meditopia_report {
  uint32_t struct_size;
  int32_t pause_reason;
  uint64_t delivered;
  uint64_t rejected;
  uint64_t expired;
  uint64_t pending;
  uint64_t in_doubt;
  int64_t paused_since_ms;
  int64_t next_probe_ms;
} meditopia_report;

typedef struct meditopia_histogram {
  uint64_t count;
  uint64_t sum_us;
  uint64_t buckets[15];
} meditopia_histogram;

typedef struct meditopia_stats {
  uint32_t struct_size;
  int32_t pause_reason;
  uint64_t enqueued;
  uint64_t delivered;
  uint64_t rejected;
  uint64_t expired;
  uint64_t pending;
  uint64_t in_doubt;
  uint64_t requests;
  uint64_t retried_requests;
  uint64_t refused_requests;
  uint64_t isolation_requests;
  int64_t paused_since_ms;
  int64_t next_probe_ms;
  uint64_t journal_bytes;
  uint64_t segments;
  uint64_t damaged_records;
  int64_t oldest_pending_ms;
  int64_t sender_seen_ms;
  int64_t sender_pid;
  uint64_t torn_tails;
  uint64_t lost;
  uint64_t delivered_requests;
  uint64_t too_large_requests;
  uint64_t postponed_requests;
  uint64_t in_doubt_requests;
  uint64_t pausing_requests;
  uint64_t sent_bytes;
  uint64_t pauses;
  struct meditopia_histogram enqueue;
  struct meditopia_histogram request;
  struct meditopia_histogram delivery;
  int64_t answered_ms;
  int64_t accepted_ms;
  uint64_t store_unreadable;
  uint64_t damage_unacknowledged;
} meditopia_stats;

typedef struct meditopia_log_record {
  uint32_t struct_size;
  int32_t level;
  int64_t time_ms;
  char message[512];
} meditopia_log_record;

typedef void (*meditopia_log_fn)(const struct meditopia_log_record *record, void *user_data);

typedef struct meditopia_row {
  uint32_t struct_size;
  int32_t http_status;
  int64_t id;
  int64_t first_ms;
  int64_t last_ms;
  uint32_t attempts;
  int32_t reason;
  const char *event_json;
  size_t event_json_len;
  const char *api_code;
  const char *message;
} meditopia_row;

typedef struct meditopia_filter {
  uint32_t struct_size;
  int32_t reason;
  const char *partner_user_id;
  const char *api_code;
  int64_t from_ms;
  int64_t until_ms;
  int64_t after_id;
} meditopia_filter;

typedef struct meditopia_receipt {
  uint32_t struct_size;
  int32_t http_status;
  int64_t id;
  int64_t time_ms;
  uint32_t attempts;
  uint32_t events;
  uint32_t register_events;
  uint32_t signin_events;
  uint32_t audio_events;
  uint32_t video_events;
  uint32_t content_events;
  uint32_t users;
  const char *users_json;
  size_t users_json_len;
} meditopia_receipt;

typedef struct meditopia_erasure {
  uint32_t struct_size;
  uint32_t is_complete;
  uint64_t pending;
  uint64_t rejected;
  uint64_t receipts;
  uint64_t in_flight;
  uint64_t files_left;
} meditopia_erasure;

uint32_t meditopia_abi_version(void);

const char *meditopia_version(void);

const char *meditopia_status_name(meditopia_status status);

const char *meditopia_text_data(const struct meditopia_text *text);

size_t meditopia_text_len(const struct meditopia_text *text);

void meditopia_text_free(struct meditopia_text *text);

struct meditopia_config *meditopia_config_new(void);

meditopia_status meditopia_config_set(struct meditopia_config *config,
                                      const char *key,
                                      const char *value,
                                      struct meditopia_error *error);

meditopia_status meditopia_config_get(const struct meditopia_config *config,
                                      const char *key,
                                      struct meditopia_text **out,
                                      struct meditopia_error *error);

meditopia_status meditopia_config_load_env(struct meditopia_config *config,
                                           struct meditopia_error *error);

meditopia_status meditopia_config_load_file(struct meditopia_config *config,
                                            const char *path,
                                            struct meditopia_error *error);

void meditopia_config_free(struct meditopia_config *config);

meditopia_status meditopia_client_open(const struct meditopia_config *config,
                                       struct meditopia_client **out,
                                       struct meditopia_error *error);

meditopia_status meditopia_flush(struct meditopia_client *client,
                                 uint32_t timeout_ms,
                                 struct meditopia_report *report,
                                 struct meditopia_error *error);

meditopia_status meditopia_client_close(struct meditopia_client *client,
                                        uint32_t timeout_ms,
                                        struct meditopia_report *report,
                                        struct meditopia_error *error);

void meditopia_client_free(struct meditopia_client *client);

meditopia_status meditopia_set_bearer_token(struct meditopia_client *client,
                                            const char *bearer_token,
                                            struct meditopia_error *error);

meditopia_status meditopia_hold(struct meditopia_client *client, struct meditopia_error *error);

meditopia_status meditopia_resume(struct meditopia_client *client, struct meditopia_error *error);

meditopia_status meditopia_enqueue(struct meditopia_client *client,
                                   const char *token,
                                   const char *partner_user_id,
                                   const char *event,
                                   const char *event_value,
                                   const char *received_at,
                                   struct meditopia_error *error);

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

meditopia_status meditopia_enqueue_json(struct meditopia_client *client,
                                        const char *json,
                                        size_t len,
                                        size_t *accepted,
                                        struct meditopia_error *error);

meditopia_status meditopia_get_stats(struct meditopia_client *client,
                                     struct meditopia_stats *stats,
                                     struct meditopia_error *error);

meditopia_status meditopia_sender_seen(struct meditopia_client *client,
                                       int64_t *seen_ms,
                                       int32_t *waiting,
                                       struct meditopia_error *error);

meditopia_status meditopia_stats_text(struct meditopia_client *client,
                                      int32_t format,
                                      struct meditopia_text **out,
                                      struct meditopia_error *error);

meditopia_status meditopia_set_log_callback(struct meditopia_client *client,
                                            meditopia_log_fn callback,
                                            void *user_data,
                                            struct meditopia_error *error);

meditopia_status meditopia_log_next(struct meditopia_client *client,
                                    struct meditopia_log_record *record,
                                    struct meditopia_error *error);

meditopia_status meditopia_rejected_open(struct meditopia_client *client,
                                         const char *partner_user_id,
                                         const char *api_code,
                                         int64_t after_id,
                                         struct meditopia_cursor **out,
                                         struct meditopia_error *error);

meditopia_status meditopia_in_doubt_open(struct meditopia_client *client,
                                         int64_t after_id,
                                         struct meditopia_cursor **out,
                                         struct meditopia_error *error);

meditopia_status meditopia_pending_open(struct meditopia_client *client,
                                        const char *partner_user_id,
                                        int64_t after_id,
                                        struct meditopia_cursor **out,
                                        struct meditopia_error *error);

meditopia_status meditopia_cursor_next(struct meditopia_cursor *cursor,
                                       struct meditopia_row *row,
                                       struct meditopia_error *error);

void meditopia_cursor_free(struct meditopia_cursor *cursor);

meditopia_status meditopia_rejected_find(struct meditopia_client *client,
                                         const struct meditopia_filter *filter,
                                         struct meditopia_cursor **out,
                                         struct meditopia_error *error);

meditopia_status meditopia_rejected_requeue(struct meditopia_client *client,
                                            const int64_t *ids,
                                            size_t count,
                                            size_t *changed,
                                            struct meditopia_error *error);

meditopia_status meditopia_rejected_requeue_matching(struct meditopia_client *client,
                                                     const struct meditopia_filter *filter,
                                                     size_t *changed,
                                                     struct meditopia_error *error);

meditopia_status meditopia_rejected_discard(struct meditopia_client *client,
                                            const int64_t *ids,
                                            size_t count,
                                            size_t *changed,
                                            struct meditopia_error *error);

meditopia_status meditopia_rejected_discard_matching(struct meditopia_client *client,
                                                     const struct meditopia_filter *filter,
                                                     size_t *changed,
                                                     struct meditopia_error *error);

meditopia_status meditopia_rejected_export(struct meditopia_client *client,
                                           const struct meditopia_filter *filter,
                                           const char *path,
                                           size_t *written,
                                           struct meditopia_error *error);

meditopia_status meditopia_in_doubt_set_aside(struct meditopia_client *client,
                                              const int64_t *ids,
                                              size_t count,
                                              size_t *changed,
                                              struct meditopia_error *error);

meditopia_status meditopia_receipts_open(struct meditopia_client *client,
                                         const char *partner_user_id,
                                         int64_t from_ms,
                                         int64_t until_ms,
                                         int64_t after_id,
                                         struct meditopia_receipts **out,
                                         struct meditopia_error *error);

meditopia_status meditopia_receipts_next(struct meditopia_receipts *receipts,
                                         struct meditopia_receipt *receipt,
                                         struct meditopia_error *error);

void meditopia_receipts_free(struct meditopia_receipts *receipts);

meditopia_status meditopia_forget_user(struct meditopia_client *client,
                                       const char *partner_user_id,
                                       uint32_t timeout_ms,
                                       struct meditopia_erasure *erasure,
                                       struct meditopia_error *error);
