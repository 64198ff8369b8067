<?php

// Laravel's configuration of the client: the library's options. `env()` is read here, because after
// `artisan config:cache` nothing reads .env any more.

return [
    'spool' => env('MEDITOPIA_SPOOL'),
    'bearer_token_file' => env('MEDITOPIA_BEARER_TOKEN_FILE'),
    'account' => env('MEDITOPIA_ACCOUNT'),
    'endpoint' => env('MEDITOPIA_ENDPOINT'),
];
