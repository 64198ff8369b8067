<?php

// Writes what a static analyser cannot know of FFI: the functions, constants and fields of meditopia_ffi.h, as members
// of PHP's own classes: stubs.php HEADER OUT.php

declare(strict_types=1);

[, $header, $out] = $argv;
$text = preg_replace('~/\*.*?\*/~s', '', file_get_contents($header));

/** What PHP's FFI makes of a type of C. */
function phpType(string $type, bool $isArray): string
{
    $type = trim(preg_replace('/\bstruct\b/', '', $type));

    return match (true) {
        $isArray, str_contains($type, '*') && !preg_match('/^const char\s*\*$/', $type) => '\Analysed\FFI\CData',
        str_contains($type, '*') => '?string',
        $type === 'void' => 'void',
        preg_match('/^(u?int\d+_t|size_t|meditopia_\w+)$/', $type) === 1 && !preg_match('/^meditopia_(error|report|histogram|stats|row|filter|receipt|sight|erasure)$/', $type) => 'int',
        default => '\Analysed\FFI\CData',
    };
}

$fields = [];
preg_match_all('/typedef struct \w+ \{([^}]*)\}/', $text, $structs);
foreach ($structs[1] as $body) {
    preg_match_all('/^\s*(.+?)(\w+)(\[\w+\])?;$/m', $body, $found, PREG_SET_ORDER);
    foreach ($found as $field) {
        $fields[$field[2]][phpType($field[1], isset($field[3]))] = true;
    }
}
$properties = '';
foreach ($fields as $name => $types) {
    $properties .= '    public ' . (count($types) > 1 ? '\Analysed\FFI\CData|string' : key($types)) . " \$$name;\n";
}
preg_match_all('/\b(MEDITOPIA_\w+) = -?\w+/', $text, $constants);
$members = implode('', array_map(static fn (string $name): string => "    public int \$$name;\n", $constants[1]));
preg_match_all('/^(\w[\w\s]*?[\s*]+)(meditopia_\w+)\((.*?)\);/ms', $text, $functions, PREG_SET_ORDER);
foreach ($functions as [, $returns, $name, $arguments]) {
    $parameters = [];
    foreach (array_map('trim', explode(',', $arguments)) as $argument) {
        if ($argument !== 'void' && preg_match('/^(.+?)(\w+)$/s', $argument, $parts)) {
            $type = phpType($parts[1], false);
            $parameters[] = ($type === '\Analysed\FFI\CData' ? '?\Analysed\FFI\CData' : $type) . " \$$parts[2]";
        }
    }
    $members .= "    public function $name(" . implode(', ', $parameters) . '): ' . ltrim(phpType($returns, false), '?') . " {}\n";
}
file_put_contents($out, <<<PHP
    <?php
    namespace Analysed\\FFI {
    class Exception extends \\RuntimeException {}
    final class CType {}
    /**
     * @implements \\ArrayAccess<int, mixed>
     * @implements \\IteratorAggregate<int, int>
     */
    abstract class CData implements \\ArrayAccess, \\IteratorAggregate, \Stringable {
        public int \$cdata;
    $properties}
    }
    namespace Analysed {
    use Analysed\\FFI\\{CData, CType};
    abstract class FFI {
        public static function cdef(string \$code = '', ?string \$lib = null): FFI {}
        public static function scope(string \$name): FFI {}
        public static function addr(CData \$ptr): CData {}
        public static function sizeof(CData|CType \$ptr): int {}
        public static function string(CData|string \$ptr, ?int \$size = null): string {}
        public static function memcpy(CData \$to, CData|string \$from, int \$size): void {}
        public static function isNull(CData \$ptr): bool {}
        public function new(CType|string \$type, bool \$owned = true, bool \$persistent = false): CData {}
        public function type(string \$type): CType {}
        public function cast(CType|string \$type, mixed \$ptr): CData {}
        public function gnu_get_libc_version(): string {}
    $members}
    }

    PHP);
