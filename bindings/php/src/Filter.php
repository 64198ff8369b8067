<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use DateTimeInterface;
use FFI;
use FFI\CData;
use Meditopia\PartnerEvents\Exception\InvalidArgument;

/**
 * Which rejected events are meant: those that match all that is given; without anything, all.
 *
 * Times are those of the rejection, `from` included and `until` not.
 */
final class Filter
{
    public function __construct(
        public readonly ?string $partnerUserId = null,
        public readonly ?string $apiCode = null,
        public readonly ?Reason $reason = null,
        public readonly ?DateTimeInterface $from = null,
        public readonly ?DateTimeInterface $until = null,
        public readonly int $afterId = 0,
    ) {
    }

    /**
     * The filter in C. The struct only points at its texts, so they have to live as long as it is used.
     *
     * @internal
     *
     * @return array{CData, list<CData>} the struct, and what it points at
     */
    public function native(FFI $library): array
    {
        $filter = $library->new('meditopia_filter');
        $filter->struct_size = FFI::sizeof($filter);
        if ($this->reason === Reason::Unknown) {
            throw new InvalidArgument('reason: Unknown stands for reasons of a later library; nothing can be looked for by it', -1);
        }
        $filter->reason = $this->reason?->value ?? 0;
        $filter->from_ms = self::from($this->from);
        $filter->until_ms = self::until($this->until);
        $filter->after_id = $this->afterId;
        $texts = [];
        foreach (['partner_user_id' => $this->partnerUserId, 'api_code' => $this->apiCode] as $name => $text) {
            if ($text === null) {
                continue;
            }
            $texts[] = $bytes = self::text($library, $name, $text);
            // @mago-expect analysis:invalid-property-assignment-value - PHP reads such a field as text, and writes it as a pointer
            $filter->$name = $library->cast('char *', FFI::addr($bytes));
        }

        return [$filter, $texts];
    }

    /** @internal milliseconds since 1970; 0: no limit */
    public static function from(?DateTimeInterface $time): int
    {
        return $time === null ? 0 : $time->getTimestamp() * 1000 + (int) $time->format('v');
    }

    /** @internal the same; nothing was rejected before 1970, where 0 would ask for no limit */
    public static function until(?DateTimeInterface $time): int
    {
        return $time === null ? 0 : (self::from($time) ?: -1);
    }

    /** @internal C would compare with what stands before a NUL byte. */
    public static function requireText(string $name, ?string $text): ?string
    {
        if ($text !== null && str_contains($text, "\0")) {
            throw new InvalidArgument("$name: a NUL byte stands in it", -1);
        }

        return $text;
    }

    private static function text(FFI $library, string $name, string $text): CData
    {
        $length = \strlen((string) self::requireText($name, $text));
        $bytes = $library->new('char[' . ($length + 1) . ']');
        FFI::memcpy($bytes, $text . "\0", $length + 1);

        return $bytes;
    }
}
