<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/**
 * The variables of this process as PHP sees them. C does not see them all: php-fpm and Dotenv put theirs
 * into $_SERVER and $_ENV only. No request header gets in: their names begin with HTTP_.
 *
 * @internal
 */
final class Environment
{
    private const PREFIX = 'MEDITOPIA_';

    public static function value(string $name): ?string
    {
        foreach ([$_ENV[$name] ?? null, $_SERVER[$name] ?? null, getenv($name)] as $value) {
            if (\is_string($value) && $value !== '') {
                return $value;
            }
        }

        return null;
    }

    /** @return array<string, string> options by their key: MEDITOPIA_SPOOL is `spool` */
    public static function options(): array
    {
        $options = [];
        foreach ([getenv(), $_SERVER, $_ENV] as $variables) {
            // @mago-expect analysis:redundant-cast,redundant-cast - a name of digits is an int, whatever the type says
            foreach ($variables as $name => $value) {
                if (\is_string($value) && str_starts_with((string) $name, self::PREFIX) && $name !== Places::VARIABLE) {
                    $options[strtolower(substr((string) $name, \strlen(self::PREFIX)))] = $value;
                }
            }
        }

        return $options;
    }
}
