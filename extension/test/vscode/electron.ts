/** `npm run test:electron`: the in-host suite in a desktop VS Code, which is downloaded. Where it can't be, `npm run test:vscode` runs the same suite. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTests } from '@vscode/test-electron';
import { makeWorkspace } from '../../../scripts/vscode-host/workspace.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = mkdtempSync(join(tmpdir(), 'lucet-electron-'));
try {
  const workspace = join(folder, 'workspace');
  await makeWorkspace(workspace, root);
  await runTests({
    extensionDevelopmentPath: root,
    extensionTestsPath: join(root, 'dist', 'vscode-suite.cjs'),
    launchArgs: [
      workspace,
      '--disable-workspace-trust',
      '--disable-telemetry',
      `--user-data-dir=${join(folder, 'user')}`,
    ],
  });
} catch (e) {
  console.error(e instanceof Error ? e.message : e);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
