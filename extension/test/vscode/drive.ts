/**
 * `npm run test:vscode`: the packaged extension in a real VS Code. First the in-host suite (suite.ts), then drives of
 * the user interface in a browser (scenarios.ts), with screenshots in dist/screenshots/. Of a step that fails, the
 * picture, the page and the logs are kept there, too. Prints "N passed, N failed"; exits 1 if anything failed.
 *
 *     node dist/vscode-drive.js [--only host|ui|NAME OF A SCENARIO] [--repeat N]
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, VsCodeHost } from '../../../scripts/vscode-host/host.ts';
import { makeWorkspace } from '../../../scripts/vscode-host/workspace.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { Workbench } from './workbench.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const screenshots = join(root, 'dist', 'screenshots');
/** Of the names that folders have in the world, one that is no identifier. */
const WORKSPACE = 'Mes œuvres (2)';
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

/** Logs of the editor: the extension's own, the extension host's, the window's. */
function logs(folder: string): string {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(f => f.endsWith('.log'));
  return files.map(f => `==== ${f}\n${readFileSync(join(folder, f), 'utf8')}`).join('\n');
}

/** What is needed to find out why a step failed on a machine that one can't look at. */
async function keepEvidence(
  name: string,
  page: Page,
  console: readonly string[],
  logFolder: string,
): Promise<void> {
  const path = join(screenshots, `failed-${name.replace(/\W+/g, '-')}`);
  await page.screenshot({ path: `${path}.png` }).catch(() => {});
  const frames = await Promise.all(
    page.frames().map(async f => `<!-- ${f.url()} -->\n${await f.content().catch(() => '')}`),
  );
  writeFileSync(`${path}.html`, frames.join('\n'));
  writeFileSync(`${path}.log`, `${console.join('\n')}\n${logs(logFolder)}`);
}

/**
 * One scenario in a new window, as if the browser had never been here. A step that fails takes those behind it along:
 * they build on it.
 */
async function drive(
  host: VsCodeHost,
  browser: Browser,
  workspace: string,
  scenario: Scenario,
): Promise<void> {
  host.configure(scenario.settings ?? {});
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  try {
    const page = await context.newPage();
    const console: string[] = [];
    page.on('console', m => console.push(`${m.type()}: ${m.text()}`));
    page.on('pageerror', e => console.push(`uncaught: ${e.stack ?? e.message}`));
    const workbench = new Workbench(page, workspace, screenshots);
    const steps: Scenario['steps'] = [
      [
        'the window is ready',
        async w => {
          await page.goto(host.url(workspace));
          await w.ready();
        },
      ],
      ...scenario.steps,
    ];
    for (const [i, [step, run]] of steps.entries()) {
      const name = `${scenario.name}: ${step}`;
      const from = performance.now();
      try {
        await run(workbench);
        report(name, null, performance.now() - from);
      } catch (e) {
        report(name, e instanceof Error ? (e.stack ?? e.message) : String(e), performance.now() - from);
        await keepEvidence(name, page, console, host.logFolder);
        for (const [left] of steps.slice(i + 1)) report(`${scenario.name}: ${left}`, 'not reached', 0);
        return;
      }
    }
  } finally {
    await context.close();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: 'string' }, repeat: { type: 'string' } } });
  const { only } = values;
  const chosen = SCENARIOS.filter(s => only === undefined || only === 'ui' || s.name === only);
  if (chosen.length === 0 && only !== 'host') throw new Error(`there is no scenario ${only}`);
  const program = execFileSync(join(root, 'scripts/vscode-host/setup.sh'), { encoding: 'utf8' }).trim();
  const folder = mkdtempSync(join(tmpdir(), 'lucet-vscode-'));
  const host = new VsCodeHost(program, folder, root);
  // The server is a process group of its own, which a signal to ours does not reach.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      host.stop();
      rmSync(folder, { recursive: true, force: true });
      process.exit(1);
    });
  }
  rmSync(screenshots, { recursive: true, force: true });
  mkdirSync(screenshots, { recursive: true });
  try {
    host.install(join(root, 'lucet-linux-x64.vsix'));
    for (let run = 0; run < Number(values.repeat ?? '1'); run++) {
      const workspace = join(folder, `run${run}`, WORKSPACE);
      await makeWorkspace(workspace, root);
      if (only === undefined || only === 'host') await hostSuite(host, folder, workspace);
      if (chosen.length === 0) continue;
      await host.start([]);
      const browser = await launchBrowser();
      try {
        for (const scenario of chosen) await drive(host, browser, workspace, scenario);
      } finally {
        await browser.close();
        host.stop();
      }
    }
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
