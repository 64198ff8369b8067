<?php

// Another site of the same php-fpm, which knows nothing of the package.

echo 'served';
