<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

use FFI;
use Meditopia\PartnerEvents\Exception\InvalidArgument;
use Meditopia\PartnerEvents\Exception\MeditopiaException;
use SensitiveParameter;

/**
 * Options for a client, as text: what they mean and which values are good is the library's to say. The library's
 * object lives only as long as a call of this, so that no object of PHP stands for it.
 *
 * @internal
 */
final class Configuration
{
    /**
     * Opens a client with these options.
     *
     * @param array<string, string|int|bool|null> $options
     */
    public static function open(FFI $library, #[SensitiveParameter] array $options): Native
    {
        $error = $library->new('meditopia_error');
        $errorAt = FFI::addr($error);
        $config = $library->meditopia_config_new();
        try {
            foreach ($options as $key => $value) {
                if ($value === null) {
                    continue;
                }
                // @mago-expect analysis:redundant-cast,redundant-cast - a key of digits is an int, whatever the type says
                $status = $library->meditopia_config_set($config, (string) $key, self::text((string) $key, $value), $errorAt);
                if ($status < 0) {
                    throw MeditopiaException::of($status, $error);
                }
            }
            $client = $library->new('meditopia_client *');
            $status = $library->meditopia_client_open($config, FFI::addr($client), $errorAt);
            if ($status < 0) {
                throw MeditopiaException::of($status, $error);
            }

            return new Native($library, $client, $error, $errorAt);
        } finally {
            $library->meditopia_config_free($config);
        }
    }

    /**
     * Of variables those that are options of this version, and what to say about the others: hosts of two
     * versions share one environment.
     *
     * @param array<string, string> $variables
     *
     * @return array{array<string, string>, list<string>}
     */
    public static function sort(FFI $library, #[SensitiveParameter] array $variables): array
    {
        $error = $library->new('meditopia_error');
        $errorAt = FFI::addr($error);
        $config = $library->meditopia_config_new();
        [$known, $unknown] = [[], []];
        try {
            foreach ($variables as $key => $value) {
                $text = $library->new('meditopia_text *');
                $status = $library->meditopia_config_get($config, $key, FFI::addr($text), $errorAt);
                $library->meditopia_text_free($text);
                // A secret is given to nobody, but may be unset.
                if ($status >= 0 || $library->meditopia_config_set($config, $key, '', $errorAt) >= 0) {
                    $known[$key] = $value;
                } else {
                    $unknown[] = 'environment: ' . FFI::string($error->message) . '; ignored';
                }
            }
        } finally {
            $library->meditopia_config_free($config);
        }

        return [$known, $unknown];
    }

    private static function text(string $key, #[SensitiveParameter] mixed $value): string
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
            throw new InvalidArgument('option ' . (string) strtok($key, "\0") . ': a NUL byte stands in it', -1);
        }

        return $text;
    }
}
