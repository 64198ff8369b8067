<?php

// The outbox of Symfony in transactions that are committed and rolled back. PG* variables name the database.

declare(strict_types=1);

use App\Meditopia\SymfonyOutbox;
use Doctrine\DBAL\DriverManager;

require '/usr/share/php/Doctrine/DBAL/autoload.php';
require __DIR__ . '/../../../../../bindings/php/examples/SymfonyOutbox.php';
require __DIR__ . '/changes.php';

$database = DriverManager::getConnection([
    'driver' => 'pdo_pgsql', 'host' => getenv('PGHOST'), 'port' => (int) getenv('PGPORT'), 'dbname' => getenv('PGDATABASE'),
    'user' => getenv('PGUSER'),
]);
$database->setNestTransactionsWithSavepoints(true);

changes(
    new SymfonyOutbox($database),
    static fn (callable $body) => $database->transactional($body),
    static fn (string $user) => $database->insert('shop_user', ['id' => $user]),
);
