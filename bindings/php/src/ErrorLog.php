<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/**
 * PHP's own log. A host may have switched `error_log` off; then standard error, which php-fpm and cron keep.
 *
 * @internal
 */
final class ErrorLog
{
    public static function write(string $line): void
    {
        if (\function_exists('error_log')) {
            error_log($line);
        } elseif (\function_exists('fopen')) {
            @fwrite(fopen('php://stderr', 'w'), "$line\n");
        }
    }
}
