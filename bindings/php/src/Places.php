<?php

declare(strict_types=1);

namespace Meditopia\PartnerEvents;

/**
 * Where the shared library is looked for: an explicit path, the environment, beside the package, the
 * loader. The first that was named counts: a path that somebody gave and that is wrong is an error, and
 * not a reason to take another library in silence.
 *
 * @internal
 */
final class Places
{
    public const FILE = 'libmeditopia.so.0';
    public const VARIABLE = 'MEDITOPIA_LIBRARY';

    /** @return array<string, string> what to tell a reader about the place => what to give to the loader */
    public static function of(?string $explicit): array
    {
        if ($explicit !== null) {
            return ["$explicit (given)" => $explicit];
        }
        $variable = Environment::value(self::VARIABLE);
        if ($variable !== null) {
            return ["$variable (" . self::VARIABLE . ')' => $variable];
        }
        $places = [];
        foreach (self::beside() as $beside) {
            $places["$beside (beside the package)"] = $beside;
        }

        return $places + [self::FILE . ' (the loader: ldconfig, LD_LIBRARY_PATH)' => self::FILE];
    }

    /**
     * The archive of a release has a library for each platform; the other place is for one that a site puts there.
     *
     * @return list<string>
     */
    private static function beside(): array
    {
        $lib = \dirname(__DIR__) . '/lib';
        $platform = strtolower(PHP_OS_FAMILY) . '-' . php_uname('m');
        $released = ["$lib/$platform/" . self::FILE, "$lib/$platform-musl/" . self::FILE];

        return [...array_filter($released, is_file(...)), "$lib/" . self::FILE];
    }
}
