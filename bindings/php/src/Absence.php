<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use Meditopia\PartnerEvents\Exception\MeditopiaException;

/**
 * Notices that events are enqueued and nobody sends them, the commonest mistake of all.
 *
 * The library is asked, because PHP may not see the spool: `open_basedir`, functions that a host has switched
 * off, a relative path after `chdir`. A web request may pay next to nothing for it, so where PHP does see that
 * the sender has just written its `sender.json`, that is enough.
 *
 * @internal
 */
final class Absence
{
    /** A sender that was at work so lately may be between two runs of cron. It is told no more often, either. */
    public const GRACE_S = 300;

    private const SENDER = '/sender.json';
    private const IDENTITY = '/identity.json';
    /** When it was told last, for all processes that enqueue; the spool is its owner's alone, and so is this. */
    private const TOLD = '/absence-told';
    /** Of so many requests one tells it where PHP can keep no file in the spool. */
    private const ONE_IN = 100;

    /** @var array<string, int> by spool, when this process told it; a web request forgets that */
    private static array $told = [];

    /** When this process has first seen the spool without any sender. */
    private ?int $since = null;

    private function __construct(private readonly Handle $client, private readonly string $spool)
    {
    }

    /** @param array<string, mixed> $options null for a client that sends itself, or keeps no spool */
    public static function of(Handle $client, array $options): ?self
    {
        $watches = ($options['role'] ?? null) === 'enqueue' && ($options['durability'] ?? '') !== 'memory';

        return $watches ? new self($client, (string) ($options['spool'] ?? '')) : null;
    }

    /** What to tell after an enqueue, or null: a sender was there, or it was told a moment ago. */
    public function complaint(): ?string
    {
        $now = time();
        if ($this->isSeenToBeFine($now)) {
            return null;
        }
        try {
            $sender = SenderSeen::by($this->client->native());
        } catch (MeditopiaException) {
            // Closed, or the spool is gone: the next enqueue says so.
            return null;
        }
        $seen = $sender->seenMs === null ? null : intdiv($sender->seenMs, 1000);
        if (!$sender->waiting || $now - ($seen ?? $this->firstSeen($now)) < self::GRACE_S || !$this->mayTell($now)) {
            return null;
        }
        $when = $seen === null ? 'there has never been a sender' : 'no sender was seen since ' . gmdate('Y-m-d\TH:i:s\Z', $seen);

        return "events wait in $this->spool and $when: run vendor/bin/meditopia-flush every minute (cron), or the daemon"
            . " `meditopia run`, as the user of this process";
    }

    /** What three times of files say is enough, where PHP sees them; the library reads more. */
    private function isSeenToBeFine(int $now): bool
    {
        $sender = self::changed($this->spool . self::SENDER);
        if ($now - ($sender ?? 0) < self::GRACE_S) {
            return true;
        }
        if ($sender === null && $now - (self::changed($this->spool . self::IDENTITY) ?? 0) < self::GRACE_S) {
            return true;
        }

        return $now - ($this->lastTold() ?? 0) < self::GRACE_S;
    }

    /** A new spool has not had the time to get a sender. Where PHP does not see how old it is, a request assumes that it is not new. */
    private function firstSeen(int $now): int
    {
        $made = self::changed($this->spool . self::IDENTITY);

        return $made ?? $this->since ??= \PHP_SAPI === 'cli' ? $now : 0;
    }

    private function lastTold(): ?int
    {
        return self::changed($this->spool . self::TOLD) ?? self::$told[$this->spool] ?? null;
    }

    private function mayTell(int $now): bool
    {
        self::$told[$this->spool] = $now;
        if (self::note($this->spool . self::TOLD)) {
            return true;
        }

        // Nothing outlives a web request here, and each of them would tell it again.
        return \PHP_SAPI === 'cli' || random_int(1, self::ONE_IN) === 1;
    }

    private static function note(string $file): bool
    {
        if (!\function_exists('touch') || !@touch($file)) {
            return false;
        }
        if (\function_exists('chmod')) {
            @chmod($file, 0600);
        }

        return true;
    }

    private static function changed(string $file): ?int
    {
        if (!\function_exists('filemtime') || !\function_exists('clearstatcache')) {
            return null;
        }
        clearstatcache(true, $file);
        $time = @filemtime($file);

        return $time === false ? null : $time;
    }
}
