<?php

// Every member of the package has a type, and what a native type cannot say is in its comment: types.php
//
// PHPStan cannot be had from Debian; mago does the rest where it is (analyse.sh).

declare(strict_types=1);

require_once __DIR__ . '/promises.php';
error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Illuminate/autoload.php';
require_once 'Symfony/Bundle/FrameworkBundle/autoload.php';
require_once 'Psr/Log/autoload.php';

/** @return iterable<ReflectionClass<object>> */
function classes(): iterable
{
    $source = realpath(__DIR__ . '/../src');
    foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($source, FilesystemIterator::SKIP_DOTS)) as $file) {
        yield new ReflectionClass('Meditopia\PartnerEvents\\' . strtr(substr((string) $file, strlen($source) + 1, -4), '/', '\\'));
    }
}

/** The methods that a class itself declares. @return list<ReflectionMethod> */
function methodsOf(ReflectionClass $class): array
{
    return array_values(array_filter(
        $class->getMethods(),
        static fn (ReflectionMethod $method): bool => $method->getFileName() === $class->getFileName() && $method->class === $class->name,
    ));
}

/** What says more about a member: its own comment, or that of the interface. */
function commentsOf(ReflectionMethod $method): string
{
    $comment = (string) $method->getDocComment();
    foreach ($method->getDeclaringClass()->getInterfaces() as $interface) {
        if ($interface->hasMethod($method->name)) {
            $comment .= $interface->getMethod($method->name)->getDocComment();
        }
    }

    return $comment;
}

/** A native type that says too little. */
function isVague(?ReflectionType $type): bool
{
    return preg_match('/\b(array|iterable|mixed|callable|Generator|Closure)\b/', (string) $type) === 1;
}

/** What a caller by name and position relies on. */
function signatureOf(ReflectionMethod $method): string
{
    $parameters = array_map(static fn (ReflectionParameter $parameter): string => implode(' ', array_filter([
        (string) $parameter->getType(),
        ($parameter->isPassedByReference() ? '&' : '') . ($parameter->isVariadic() ? '...' : '') . "\$$parameter->name",
        $parameter->isDefaultValueAvailable() ? '= ' . var_export($parameter->getDefaultValue(), true) : '',
    ])), $method->getParameters());

    return ($method->isStatic() ? 'static ' : '') . $method->name . '(' . implode(', ', $parameters) . '): ' . $method->getReturnType();
}

run([
    'a client and its doubles have the parameters of the interface, by name, type and default' => static function (): void {
        $interface = new ReflectionClass(Meditopia\PartnerEvents\ClientInterface::class);
        $clients = array_filter(iterator_to_array(classes(), false), static fn (ReflectionClass $class): bool => $class->isInstantiable() && $class->implementsInterface($interface));
        $names = array_map(static fn (ReflectionClass $class): string => $class->getShortName(), array_values($clients));
        sort($names);
        check($names === ['Client', 'DisabledClient', 'RecordingClient'], implode(' ', $names));
        foreach ($clients as $class) {
            foreach ($interface->getMethods() as $method) {
                [$own, $wanted] = [signatureOf($class->getMethod($method->name)), signatureOf($method)];
                check($own === $wanted, "$class->name has $own, and the interface $wanted");
            }
        }
    },
    'every parameter, return value and property has a type' => static function (): void {
        foreach (classes() as $class) {
            foreach (methodsOf($class) as $method) {
                $where = "$class->name::$method->name";
                check($method->hasReturnType() || in_array($method->name, ['__construct', '__destruct', '__clone'], true), "$where says what it returns");
                foreach ($method->getParameters() as $parameter) {
                    check($parameter->hasType(), "$where says what \$$parameter->name is");
                }
            }
            foreach ($class->getProperties() as $property) {
                if ($property->class === $class->name) {
                    // The frameworks' own properties have no native type that a child may add.
                    check($property->hasType() || str_contains((string) $property->getDocComment(), '@var'), "$class->name::\$$property->name has a type");
                }
            }
        }
    },
    'what an application passes and gets is told in full, where the native type says array, iterable or mixed' => static function (): void {
        foreach (classes() as $class) {
            if (str_contains((string) $class->getDocComment(), '@internal') || $class->isTrait()) {
                continue;
            }
            foreach (methodsOf($class) as $method) {
                $comment = commentsOf($method);
                if (!$method->isPublic() || str_contains($comment, '@internal')) {
                    continue;
                }
                foreach ($method->getParameters() as $parameter) {
                    // A promoted property may have the comment itself.
                    $told = preg_match("/@param(-out)? [^\n]*\\$$parameter->name\\b/", $comment) === 1;
                    check(!isVague($parameter->getType()) || $told, "$class->name::$method->name says what \$$parameter->name is");
                }
                check(!isVague($method->getReturnType()) || str_contains($comment, '@return'), "$class->name::$method->name says what it returns");
            }
        }
    },
]);
