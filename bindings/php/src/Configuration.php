<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use Meditopia\PartnerEvents\Exception\InvalidArgument;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use SensitiveParameter;

/**
 * Options for a client, as text: what they mean and which values are good is the library's to say.
 *
 * @internal
 */
final class Configuration
{
    use NotCopied;

    private readonly Handle $handle;

    public function __construct(FFI $library)
    {
        $this->handle = new Handle($library, $library->meditopia_config_new(), 'meditopia_config_free');
    }

    public function native(): Native
    {
        return $this->handle->native();
    }

    /** @param array<string, string|int|bool|null> $options */
    public function set(#[SensitiveParameter] array $options): void
    {
        $native = $this->native();
        foreach ($options as $key => $value) {
            if ($value === null) {
                continue;
            }
            $text = $this->text((string) $key, $value);
            $status = $native->library->meditopia_config_set($native->pointer, (string) $key, $text, $native->errorAt);
            if ($status < 0) {
                throw MeditopiaException::of($status, $native->error);
            }
        }
    }

    /**
     * Of variables those that are options of this version, and what to say about the others: hosts of two
     * versions share one environment.
     *
     * @param array<string, string> $variables
     *
     * @return array{array<string, string>, string[]}
     */
    public function sort(#[SensitiveParameter] array $variables): array
    {
        [$known, $unknown] = [[], []];
        foreach ($variables as $key => $value) {
            if ($this->knows($key)) {
                $known[$key] = $value;
            } else {
                $unknown[] = 'environment: ' . FFI::string($this->native()->error->message) . '; ignored';
            }
        }

        return [$known, $unknown];
    }

    private function knows(string $key): bool
    {
        $native = $this->native();
        $text = $native->library->new('meditopia_text *');
        $status = $native->library->meditopia_config_get($native->pointer, $key, FFI::addr($text), $native->errorAt);
        $native->library->meditopia_text_free($text);

        // A secret is given to nobody, but may be unset.
        return $status >= 0 || $native->library->meditopia_config_set($native->pointer, $key, '', $native->errorAt) >= 0;
    }

    private function text(string $key, #[SensitiveParameter] mixed $value): string
    {
        $text = match (true) {
            \is_bool($value) => $value ? 'true' : 'false',
            \is_string($value) => $value,
            \is_int($value) => (string) $value,
            default => throw new InvalidArgument(
                "option $key: a " . get_debug_type($value) . ' is neither text nor a whole number nor true or false', -1,
            ),
        };
        // C would see what stands before it only.
        if (str_contains($text, "\0") || str_contains($key, "\0")) {
            throw new InvalidArgument('option ' . strtok($key, "\0") . ': a NUL byte stands in it', -1);
        }

        return $text;
    }
}
