<?php
// What a request costs that does neither.

echo 'ok';
