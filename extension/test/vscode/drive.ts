/**
 * `npm run test:vscode`: the packaged extension in a real VS Code. First the in-host suite (suite.ts), then a drive of the user interface in a
 * browser, with screenshots in dist/screenshots/. Prints "N passed, N failed"; exits 1 if anything failed.
 *
 *     node dist/vscode-drive.js [--only host|ui|debug]
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launchBrowser, VsCodeHost } from '../../../scripts/vscode-host/host.ts';
import { makeWorkspace } from '../../../scripts/vscode-host/workspace.ts';
import { DEBUG_STEPS } from './debug-steps.ts';
import { type Step, UI_STEPS } from './ui.ts';
import { Workbench } from './workbench.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const SUITE_MS = 240_000;

let passed = 0;
let failed = 0;
function report(name: string, error: string | null, ms: number): void {
  if (error === null) passed++;
  else failed++;
  console.log(`${error === null ? 'ok  ' : 'FAIL'} ${name} (${(ms / 1000).toFixed(1)} s)`);
  if (error !== null) console.log(error.replace(/^/gm, '     '));
}

/** The in-host suite, against the installed VSIX: the extension under development is an empty one. */
async function hostSuite(host: VsCodeHost, folder: string, workspace: string): Promise<void> {
  const results = join(folder, 'results.json');
  const stub = join(folder, 'stub');
  mkdirSync(stub, { recursive: true });
  writeFileSync(
    join(stub, 'package.json'),
    JSON.stringify({ name: 'stub', publisher: 'test', version: '1.0.0', engines: { vscode: '^1.91.0' } }),
  );
  await host.start(['--vscode-option', 'enable-smoke-test-driver'], { LUCET_TEST_REPORT: results });
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    const ended = new Promise<number>((resolve, reject) => {
      void page.exposeFunction('codeAutomationExit', (code: number) => resolve(code));
      setTimeout(() => reject(new Error('the in-host suite does not end')), SUITE_MS).unref();
    });
    const remote = (path: string) => `vscode-remote://127.0.0.1:${host.port}${path}`;
    const payload = [
      ['extensionDevelopmentPath', remote(stub)],
      ['extensionTestsPath', remote(join(root, 'dist', 'vscode-suite.cjs'))],
    ];
    await page.goto(host.url(workspace, `&payload=${encodeURIComponent(JSON.stringify(payload))}`));
    const code = await ended;
    const tests = existsSync(results)
      ? (JSON.parse(readFileSync(results, 'utf8')) as { title: string; error: string | null; ms: number }[])
      : [];
    for (const t of tests) report(`in host: ${t.title}`, t.error, t.ms);
    if (tests.length === 0 || (code !== 0 && tests.every(t => t.error === null)))
      report('in host: the suite', `it ended with ${code} after ${tests.length} tests`, 0);
  } finally {
    await browser.close();
    host.stop();
  }
}

async function uiDrive(host: VsCodeHost, workspace: string, steps: readonly Step[]): Promise<void> {
  const screenshots = join(root, 'dist', 'screenshots');
  rmSync(screenshots, { recursive: true, force: true });
  mkdirSync(screenshots, { recursive: true });
  await host.start([]);
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    const workbench = new Workbench(page, workspace, screenshots);
    await page.goto(host.url(workspace));
    for (const [name, step] of steps) {
      const from = performance.now();
      try {
        await workbench.closeMenus();
        await step(workbench);
        report(name, null, performance.now() - from);
      } catch (e) {
        await workbench.shot(`failed-${name.replace(/\W+/g, '-')}`).catch(() => {});
        report(name, e instanceof Error ? (e.stack ?? e.message) : String(e), performance.now() - from);
      }
    }
  } finally {
    await browser.close();
    host.stop();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  const program = execFileSync(join(root, 'scripts/vscode-host/setup.sh'), { encoding: 'utf8' }).trim();
  const folder = mkdtempSync(join(tmpdir(), 'lucet-vscode-'));
  const host = new VsCodeHost(program, folder, root);
  try {
    const workspace = join(folder, 'workspace');
    await makeWorkspace(workspace, root);
    host.install(join(root, 'lucet-linux-x64.vsix'));
    if (values.only === undefined || values.only === 'host') await hostSuite(host, folder, workspace);
    const steps = [
      ...(values.only === undefined || values.only === 'ui' ? UI_STEPS : []),
      // Debugging takes the focus as it pleases: in a window of its own.
      ...(values.only === 'debug' ? DEBUG_STEPS : []),
    ];
    if (steps.length > 0) await uiDrive(host, workspace, steps);
  } finally {
    host.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
// Sockets of the browser's may still be open.
process.exit();
