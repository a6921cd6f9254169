#!/usr/bin/env node
import { existsSync } from 'node:fs';

const bundle = new URL('../dist/lucet-wasi.js', import.meta.url);
if (!existsSync(bundle)) {
  process.stderr.write('lucet-wasi: not built yet; run "npm run build" in the project\'s folder\n');
  process.exit(1);
}
await import(bundle.href);
