<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/**
 * Notices that events are enqueued and nobody sends them, the commonest mistake of all.
 *
 * A request may pay next to nothing for it, and statistics read all that waits. So it looks at one time:
 * the sender, also an idle one, writes `sender.json` in the spool again each second. Whoever has just
 * enqueued and finds that file old knows both that an event waits and that nobody is there to send it.
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

    private function __construct(private readonly string $spool)
    {
    }

    /** @param array<string, mixed> $options null for a client that sends itself, or keeps no spool */
    public static function of(array $options): ?self
    {
        $watches = $options['role'] === 'enqueue' && ($options['durability'] ?? '') !== 'memory';

        return $watches ? new self((string) ($options['spool'] ?? '')) : null;
    }

    /** What to tell after an enqueue, or null: a sender was there, or it was told a moment ago. */
    public function complaint(): ?string
    {
        $seen = self::changed($this->spool . self::SENDER);
        // A new spool has not had the time to get one.
        $since = $seen ?? self::changed($this->spool . self::IDENTITY);
        if ($since === null || time() - $since < self::GRACE_S || !$this->mayTell()) {
            return null;
        }
        $when = $seen === null ? 'there has never been a sender' : 'no sender was seen since ' . gmdate('Y-m-d\TH:i:s\Z', $seen);

        return "events wait in $this->spool and $when: run vendor/bin/meditopia-flush every minute (cron), or the daemon"
            . " `meditopia run`, as the user of this process";
    }

    private function mayTell(): bool
    {
        $told = $this->spool . self::TOLD;
        if (time() - (self::changed($told) ?? 0) < self::GRACE_S) {
            return false;
        }

        // Where it cannot be noted each request would tell it again.
        return @touch($told) && @chmod($told, 0600);
    }

    private static function changed(string $file): ?int
    {
        clearstatcache(true, $file);
        $time = @filemtime($file);

        return $time === false ? null : $time;
    }
}
