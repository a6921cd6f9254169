// dist/types: the declarations of the npm package (runtime/lucet.ts and all that it names).
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bundle.mjs';

const types = join(root, 'dist', 'types');
rmSync(types, { recursive: true, force: true });
execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', join(root, 'tsconfig.types.json')], {
  stdio: 'inherit',
});
// As the bundle is.
writeFileSync(join(types, 'package.json'), '{"type":"commonjs"}\n');
