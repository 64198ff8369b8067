<?php

// public/index.php of the Laravel application in tests/apps/laravel, as the tests have laid it into the project.

$app = require "$_SERVER[PROJECT]/laravel/bootstrap/app.php";
$response = $app->make(Illuminate\Contracts\Http\Kernel::class)->handle($request = Illuminate\Http\Request::capture());
$response->send();
