<?php

declare(strict_types=1);

require_once 'Psr/Log/autoload.php';

/** A PSR-3 logger that keeps what it is told. */
final class CollectingLogger extends Psr\Log\AbstractLogger
{
    /** @var string[] */
    public array $lines = [];

    public function log($level, $message, array $context = []): void
    {
        $this->lines[] = "$level $message";
    }

    /** @return string[] */
    public function of(string $text): array
    {
        return array_values(array_filter($this->lines, static fn (string $line): bool => str_contains($line, $text)));
    }
}
