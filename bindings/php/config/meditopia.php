<?php

// Laravel's configuration of the client: every option of the library, by its key. null leaves the library's default.
// `env()` is read here, because after `artisan config:cache` nothing reads .env any more.

return [
    'spool' => env('MEDITOPIA_SPOOL'),
    'bearer_token_file' => env('MEDITOPIA_BEARER_TOKEN_FILE'),
    'endpoint' => env('MEDITOPIA_ENDPOINT'),
    'account' => env('MEDITOPIA_ACCOUNT'),
    'bearer_token' => env('MEDITOPIA_BEARER_TOKEN'),
    'durability' => env('MEDITOPIA_DURABILITY'),
    'role' => env('MEDITOPIA_ROLE'),
    'flush_interval_ms' => env('MEDITOPIA_FLUSH_INTERVAL_MS'),
    'batch_max' => env('MEDITOPIA_BATCH_MAX'),
    'lanes' => env('MEDITOPIA_LANES'),
    'connect_timeout_ms' => env('MEDITOPIA_CONNECT_TIMEOUT_MS'),
    'request_timeout_ms' => env('MEDITOPIA_REQUEST_TIMEOUT_MS'),
    'proxy' => env('MEDITOPIA_PROXY'),
    'ca_file' => env('MEDITOPIA_CA_FILE'),
    'max_spool_bytes' => env('MEDITOPIA_MAX_SPOOL_BYTES'),
    'max_event_bytes' => env('MEDITOPIA_MAX_EVENT_BYTES'),
    'utc_offset' => env('MEDITOPIA_UTC_OFFSET'),
    'event_ttl_s' => env('MEDITOPIA_EVENT_TTL_S'),
    'max_requests_per_s' => env('MEDITOPIA_MAX_REQUESTS_PER_S'),
    'brake_users' => env('MEDITOPIA_BRAKE_USERS'),
    'receipts_days' => env('MEDITOPIA_RECEIPTS_DAYS'),
    'log_level' => env('MEDITOPIA_LOG_LEVEL'),
    'allow_network_spool' => env('MEDITOPIA_ALLOW_NETWORK_SPOOL'),
    'trust_group' => env('MEDITOPIA_TRUST_GROUP'),
];
