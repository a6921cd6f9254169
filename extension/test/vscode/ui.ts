/** The drive, step by step: what a newcomer does first. Later steps build on what earlier ones left. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Workbench } from './workbench.ts';

export type Step = readonly [name: string, run: (w: Workbench) => Promise<void>];

export async function until(
  what: string,
  probe: () => boolean | Promise<boolean>,
  ms = 30_000,
): Promise<void> {
  const end = Date.now() + ms;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

export const lineOf = (w: Workbench, file: string, marker: string): number =>
  1 +
  readFileSync(join(w.folder, file), 'utf8')
    .split('\n')
    .findIndex(l => l.includes(marker));

export const UI_STEPS: readonly Step[] = [
  [
    'the explorer shows the workspace',
    async w => {
      await w.explorerFile('hello.wasm').waitFor();
    },
  ],
  [
    'right-click hello.wasm, compile: hello.so is there',
    async w => {
      await w.contextMenu('hello.wasm', 'Compile to Native (.so)');
      await until('hello.so', () => existsSync(join(w.folder, 'hello.so')));
      await w.explorerFile('hello.so').waitFor();
      await w.shot('compiled');
    },
  ],
  [
    'run it in a terminal: it says hello',
    async w => {
      await w.contextMenu('hello.wasm', 'Run');
      const terminal = w.page.locator('.terminal-wrapper.active');
      await terminal.waitFor();
      await until('the greeting', async () =>
        (await w.terminalText().catch(() => '')).includes('Hello, world!'),
      );
      await w.shot('terminal');
    },
  ],
  [
    'a .wat with an error is squiggled at its place',
    async w => {
      await w.openFile('broken.wat');
      await w.page.locator('.squiggly-error').first().waitFor();
      await w.showProblems();
      await w
        .problem(/type mismatch/)
        .first()
        .waitFor();
      await w.page.locator('.codelens-decoration', { hasText: 'Run' }).first().waitFor();
      await w.shot('wat-error');
      await w.closeEditors();
    },
  ],
  [
    'a program that traps: a problem on the right line of its source',
    async w => {
      await w.openFile('trap.c');
      await w.contextMenu('trap.wasm', 'Run');
      await w.webview('.backtrace');
      await w.showProblems();
      const problem = w.problem(/out of bounds memory access/).first();
      await problem.waitFor();
      const line = lineOf(w, 'trap.c', 'return t->cells[i]');
      assert.match(await problem.innerText(), new RegExp(`Ln ${line}\\b`));
      await w.shot('trap');
    },
  ],
  [
    'the trap inspector has the right facts',
    async w => {
      const page = await w.webview('.backtrace');
      assert.match(await page.locator('h1').innerText(), /out of bounds memory access/);
      assert.match(await page.locator('.explanation').innerText(), /0x40011114.*0x20000 bytes \(2 pages\)/s);
      const frames = await page.locator('.backtrace code').allInnerTexts();
      assert.deepEqual(frames.slice(0, 3), ['read_cell', 'sum', 'report']);
      assert.match(await page.locator('.column.source .row.fault').innerText(), /return t->cells\[i\]/);
      assert.match(await page.locator('.column.wat .row.fault').innerText(), /i32\.load/);
      assert.match(await page.locator('.column.native .row.fault').innerText(), /trap HeapOutOfBounds/);
      // Pointing at the source line lights what it became.
      await page.locator('.column.source .row.fault').hover();
      await page.locator('.column.native .row.fault.linked').waitFor();
      await page.locator('#tab-registers').click();
      assert.match(await page.locator('#panel-registers').innerText(), /r15/);
      await w.shot('trap-inspector');
    },
  ],
  [
    'a click on a frame goes to its source',
    async w => {
      const page = await w.webview('.backtrace');
      await page.locator('.backtrace a.source').nth(1).click();
      const line = lineOf(w, 'trap.c', 's += read_cell');
      await w.page.locator('.statusbar-item', { hasText: `Ln ${line}, Col` }).waitFor();
      await w.closeEditors();
    },
  ],
  [
    'the module inspector shows functions in WAT and machine code',
    async w => {
      await w.contextMenu('trap.wasm', 'Inspect Module');
      const page = await w.webview('#list .entry');
      await page.locator('#filter').fill('read_cell');
      await page.locator('#list .entry', { hasText: 'read_cell' }).click();
      await page.locator('#wat .row', { hasText: 'i32.load' }).first().waitFor();
      await page.locator('#native .row', { hasText: 'trap HeapOutOfBounds' }).first().waitFor();
      await page.locator('#wat .row', { hasText: 'i32.load' }).first().click();
      await page.locator('#native .row.linked').first().waitFor();
      await w.shot('module-inspector');
      await w.closeEditors();
    },
  ],
  [
    'a large module: the inspector stays responsive',
    async w => {
      await w.contextMenu('large.wasm', 'Inspect Module');
      const page = await w.webview('#list .entry');
      await page.locator('#facts', { hasText: '20,000 functions' }).waitFor();
      // Only what is in view is in the page.
      assert.ok((await page.locator('#list .entry').count()) < 200);
      await page.locator('#list').evaluate(list => {
        list.scrollTop = list.scrollHeight;
      });
      await page.locator('#list .entry', { hasText: 'f19999' }).click();
      await page.locator('#wat .row', { hasText: '(func $f19999' }).waitFor();
      await w.closeEditors();
    },
  ],
  ...['Dark Modern', 'Dark High Contrast'].map(
    (theme): Step => [
      `the trap inspector in the theme ${theme}`,
      async w => {
        await w.theme(theme);
        await w.command('Lucet: Open Trap Inspector');
        await w.webview('.backtrace');
        if (theme === 'Dark Modern') await w.command('View: Toggle Panel Visibility');
        await w.webview('.column.native .row.fault');
        await w.shot(`trap-inspector-${theme.toLowerCase().replace(/ /g, '-')}`);
        await w.closeEditors();
      },
    ],
  ),
  [
    'a program that never ends is killed from the status item',
    async w => {
      await w.contextMenu('spin.wasm', 'Run');
      const item = w.page.locator('.statusbar-item', { hasText: 'Lucet: run spin.wasm' });
      await item.waitFor();
      await w.shot('running');
      await item.click();
      await w.page.locator('.quick-input-list .monaco-list-row', { hasText: 'Kill' }).click();
      await item.waitFor({ state: 'detached' });
    },
  ],
];
