<?php

// Finds composer's autoloader, from vendor/bin or from the package itself; else loads this package's own classes.

declare(strict_types=1);

$autoload = $GLOBALS['_composer_autoload_path'] ?? null;
foreach ([$autoload, __DIR__ . '/../../../autoload.php', __DIR__ . '/../vendor/autoload.php'] as $file) {
    if ($file !== null && @is_file($file)) {
        require_once $file;

        return;
    }
}
spl_autoload_register(static function (string $class): void {
    $prefix = 'Meditopia\\PartnerEvents\\';
    $file = __DIR__ . '/../src/' . str_replace('\\', '/', substr($class, strlen($prefix))) . '.php';
    if (str_starts_with($class, $prefix) && @is_file($file)) {
        require $file;
    }
});
