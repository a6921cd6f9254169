#!/usr/bin/env node
// The debug adapter, for editors that are told a command to start.
import { existsSync, readFileSync } from 'node:fs';

const HELP = `usage: lucet-dap [--server=PORT]

  The debug adapter of Lucet. It speaks the Debug Adapter Protocol on standard input and output, and is started
  by an editor: docs/debugging.md says what a launch may have.

  --server=PORT   serve any number of sessions on a port of this machine
  --version       the version of Lucet
`;

function fail(message) {
  process.stderr.write(`lucet-dap: ${message}\n`);
  process.exit(1);
}

const root = new URL('..', import.meta.url);
const bundle = new URL('dist/debug-adapter.cjs', root);
const args = process.argv.slice(2);
const unknown = args.find(a => !/^--server=[1-9]\d{0,4}$/.test(a));
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(HELP);
} else if (args.includes('--version') || args.includes('-V')) {
  process.stdout.write(
    `lucet-dap ${JSON.parse(readFileSync(new URL('package.json', root), 'utf8')).version}\n`,
  );
} else if (unknown !== undefined) {
  fail(`unknown option ${unknown} (see lucet-dap --help)`);
} else if (args.length > 1) {
  fail('one port is served (see lucet-dap --help)');
} else if (!existsSync(bundle)) {
  fail('not built yet; run "npm run build" in the project\'s folder');
} else if (args.length === 0 && process.stdin.isTTY) {
  fail('standard input is a terminal, where an editor is expected to speak (see lucet-dap --help)');
} else {
  await import(bundle.href);
}
