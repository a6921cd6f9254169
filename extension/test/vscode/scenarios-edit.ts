/** Compiling, running, trapping, looking: everything but the debugger. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { guests } from './guests.ts';
import type { Scenario, Step } from './scenarios.ts';
import { until } from './until.ts';

const runTrap: Step = [
  'a program that traps: a problem on the right line of its source',
  async w => {
    await w.openFile('trap.c');
    await w.contextMenu('trap.wasm', 'Run');
    await w.webview('.backtrace');
    await w.showProblems();
    const problem = w.problem(/out of bounds memory access/).first();
    await problem.waitFor();
    const line = w.lineOf('trap.c', 'return t->cells[i]');
    assert.match(await problem.innerText(), new RegExp(`Ln ${line}\\b`));
  },
];

const inspectorHasFacts: Step = [
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
    await w.shot('trap');
    // Pointing at the source line lights what it became.
    await page.locator('.column.source .row.fault').hover();
    await page.locator('.column.native .row.fault.linked').waitFor();
    await page.locator('#tab-registers').click();
    await page.locator('#panel-registers', { hasText: 'r15' }).waitFor();
  },
];

const clickToSource: Step = [
  'a click on a frame goes to its source',
  async w => {
    const page = await w.webview('.backtrace');
    await page.locator('.backtrace a.source').nth(1).click();
    await w.cursorAt(w.lineOf('trap.c', 's += read_cell'));
  },
];

const inspectorAlone = (name: string): Step => [
  'the trap inspector over the whole window',
  async w => {
    await w.closePanel();
    await w.closeEditors();
    await w.command('Lucet: Open Trap Inspector');
    await w.webview('.column.native .row.fault');
    await w.shot(name);
  },
];

export const EDITING: readonly Scenario[] = [
  {
    name: 'first steps',
    steps: [
      [
        'right-click hello.wasm, compile: hello.so is there',
        async w => {
          // The suite in the host may have left one.
          rmSync(w.path('hello.so'), { force: true });
          await w.contextMenu('hello.wasm', 'Compile to Native (.so)');
          await w.statusItem('Lucet: hello.so').waitFor();
          await until('hello.so', () => readFileSync(w.path('hello.so')).subarray(1, 4).toString() === 'ELF');
          await w.explorerFile('hello.so').waitFor();
          await w.shot('compiled');
        },
      ],
      [
        'run it in a terminal: it says hello',
        async w => {
          await w.contextMenu('hello.wasm', 'Run');
          await until('the greeting', async () => (await w.terminalText()).includes('Hello, world!'));
          await w.shot('terminal');
        },
      ],
      [
        'a .wat with an error is squiggled at its place',
        async w => {
          await w.openFile('broken.wat');
          await w.page.locator('.squiggly-error').first().waitFor();
          // Before the focus moves on: an editor that loses it forgets that it was about to ask for lenses.
          await w.page.locator('.codelens-decoration', { hasText: 'Run' }).first().waitFor();
          await w.showProblems();
          const problem = w.problem(/type mismatch/).first();
          await problem.waitFor();
          assert.match(await problem.innerText(), /Ln 4, Col 6\b/);
          await w.shot('wat-error');
        },
      ],
    ],
  },
  { name: 'trap', steps: [runTrap, inspectorHasFacts, clickToSource, inspectorAlone('trap-inspector')] },
  {
    name: 'trap in high contrast',
    settings: { 'workbench.colorTheme': 'Default High Contrast' },
    steps: [
      ['the theme is there', w => w.page.locator('.monaco-workbench.hc-black').waitFor()],
      runTrap,
      inspectorAlone('trap-inspector-high-contrast'),
    ],
  },
  {
    name: 'modules, and an endless program',
    steps: [
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
        'a large module: only what is in view is in the page',
        async w => {
          await w.contextMenu('large.wasm', 'Inspect Module');
          const page = await w.webview('#list .entry');
          await page.locator('#facts', { hasText: '20,000 functions' }).waitFor();
          assert.ok((await page.locator('#list .entry').count()) < 200);
          await page.locator('#list').evaluate(list => {
            list.scrollTop = list.scrollHeight;
          });
          await page.locator('#list .entry', { hasText: 'f19999' }).click();
          await page.locator('#wat .row', { hasText: '(func $f19999' }).waitFor();
          await w.closeEditors();
        },
      ],
      [
        'a program that never ends is paused from the status bar',
        async w => {
          await w.contextMenu('spin.wasm', 'Run');
          const item = w.statusItem('Lucet: run spin.wasm');
          await item.waitFor();
          await until('it runs', () => guests(w.path('spin')).some(g => g.state === 'R'));
          await w.shot('running');
          await item.click();
          await w.pick('Pause');
          await until('it stands', () => guests(w.path('spin')).every(g => g.state === 'T'));
          await item.locator('.codicon-debug-pause').waitFor();
        },
      ],
      [
        'it is killed from the status bar',
        async w => {
          const item = w.statusItem('Lucet: run spin.wasm');
          await item.click();
          await w.pick('Kill');
          await item.waitFor({ state: 'detached' });
          await until('it is gone', () => guests(w.path('spin')).length === 0);
        },
      ],
    ],
  },
];
