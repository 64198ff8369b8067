<?php

// The outbox of Laravel in transactions that are committed and rolled back. PG* variables name the database.

declare(strict_types=1);

use App\Meditopia\LaravelOutbox;
use Illuminate\Database\Capsule\Manager;

require '/usr/share/php/Illuminate/autoload.php';
require __DIR__ . '/../../../../../bindings/php/examples/LaravelOutbox.php';
require __DIR__ . '/changes.php';

$manager = new Manager();
$manager->addConnection([
    'driver' => 'pgsql', 'host' => getenv('PGHOST'), 'port' => getenv('PGPORT'), 'database' => getenv('PGDATABASE'),
    'username' => getenv('PGUSER'), 'charset' => 'utf8', 'prefix' => '',
]);
$database = $manager->getConnection();

changes(
    new LaravelOutbox($database),
    static fn (callable $body) => $database->transaction($body),
    static fn (string $user) => $database->table('shop_user')->insert(['id' => $user]),
);
