<?php

declare(strict_types=1);

/** What the local API, in which these tests run, has accepted. */
final class Ledger
{
    /** @return array<string, int> its counts */
    public static function counts(): array
    {
        return json_decode(self::get('/sandbox/ledger'), true, flags: JSON_THROW_ON_ERROR);
    }

    /** @return array<string, int[]> of each user whose id begins so, the numbers (`event_value`) in the order of their arrival */
    public static function numbers(string $prefix): array
    {
        $numbers = [];
        for ($after = 0; ($page = self::get("/sandbox/ledger/events?after=$after&limit=10000")) !== '';) {
            foreach (explode("\n", trim($page)) as $line) {
                ['sequence' => $after, 'event' => $event] = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
                if (str_starts_with($event['partner_user_id'], $prefix)) {
                    $numbers[$event['partner_user_id']][] = (int) $event['event_value'];
                }
            }
        }

        return $numbers;
    }

    private static function get(string $path): string
    {
        $address = parse_url(getenv('MEDITOPIA_ENDPOINT'));

        return file_get_contents("http://$address[host]:$address[port]$path");
    }
}
