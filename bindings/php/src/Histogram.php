<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI\CData;

/** How long things took: how many there were, and how many of them within each bound. */
final class Histogram
{
    /** @internal the upper bounds, in seconds; the last bucket has none */
    public const ENQUEUE_S = [5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1, 1.0];
    /** @internal */
    public const REQUEST_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    /** @internal */
    public const DELIVERY_S = [0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 86400.0];

    /**
     * @param list<float> $boundsSeconds the upper bound of each bucket; the last bucket, one more, has none
     * @param list<int> $buckets how many fell into each bucket
     */
    private function __construct(
        public readonly int $count,
        public readonly float $sumSeconds,
        public readonly array $boundsSeconds,
        public readonly array $buckets,
    ) {
    }

    /**
     * @internal
     *
     * @param list<float> $bounds
     */
    public static function of(CData $histogram, array $bounds): self
    {
        $buckets = [];
        foreach ($histogram->buckets as $bucket) {
            $buckets[] = $bucket;
        }

        return new self($histogram->count, $histogram->sum_us / 1e6, $bounds, $buckets);
    }
}
