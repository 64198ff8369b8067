<?php

// What plain.php does, in a site that finds the package in its vendor.

require_once "$_SERVER[PROJECT]/vendor/autoload.php";
require __DIR__ . '/plain.php';
