/** Debugging: to a breakpoint in C, and what one does there; a trap; a program that never ends. */
import assert from 'node:assert/strict';
import { Debugger } from './debugger.ts';
import type { Scenario } from './scenarios.ts';

export const DEBUGGING: readonly Scenario[] = [
  {
    name: 'debug C',
    settings: { 'workbench.colorTheme': 'Dark Modern' },
    steps: [
      [
        'F5 on a .wasm stops at a breakpoint in its C source, with its locals',
        async w => {
          const d = new Debugger(w);
          const loop = w.lineOf('step.c', '#loop');
          await w.page.locator('.monaco-workbench.vs-dark').waitFor();
          await w.openFile('step.c');
          await d.toggleBreakpoint(loop);
          await w.openFile('step.wasm');
          await w.page.keyboard.press('F5');
          await w.showDebugView();
          await d.stoppedIn('main', loop);
          await d.hasValue('sum', '0');
          await d.hasValue('i', '1');
          await w.shot('breakpoint');
        },
      ],
      [
        'step into, out and over',
        async w => {
          const d = new Debugger(w);
          await d.press('into');
          await d.stoppedIn('scale', w.lineOf('step.c', '#inside'));
          await d.hasValue('n', '3');
          await d.hasValue('by', '1');
          await d.press('over');
          await d.stoppedIn('scale', w.lineOf('step.c', 'return product'));
          await d.hasValue('product', '3');
          await d.press('out');
          // The rest of the caller's statement is done: the sum is there.
          await d.stoppedIn('main');
          await d.hasValue('sum', '3');
          await d.hasValue('i', '1');
          await d.press('over');
          await d.hasValue('i', '2');
          await d.stoppedIn('main');
        },
      ],
      [
        'a variable that is changed changes what is printed',
        async w => {
          const d = new Debugger(w);
          const print = w.lineOf('step.c', '#print');
          await d.toggleBreakpoint(print);
          await d.toggleBreakpoint(w.lineOf('step.c', '#loop'));
          await d.press('continue');
          await d.stoppedIn('main', print);
          await d.hasValue('sum', '18');
          await d.setValue('sum', '1234');
          await d.press('continue');
          await d.ended();
          await d.hasPrinted('sum 1234');
        },
      ],
    ],
  },
  {
    name: 'debug a trap, and an endless program',
    steps: [
      [
        'a trap stops at its line; the inspector opens',
        async w => {
          const d = new Debugger(w);
          await w.openFile('trap.wasm');
          await w.page.keyboard.press('F5');
          await w.page.locator('.exception-widget', { hasText: 'out of bounds memory access' }).waitFor();
          await w.showDebugView();
          await d.stoppedIn('read_cell', w.lineOf('trap.c', 'return t->cells[i]'));
          const page = await w.webview('.backtrace');
          assert.match(
            await page.locator('.explanation').innerText(),
            /0x40011114.*0x20000 bytes \(2 pages\)/s,
          );
          assert.match(await page.locator('.column.source .row.fault').innerText(), /return t->cells\[i\]/);
          await w.shot('debugged-trap');
          await w.showProblems();
          const problem = w.problem(/out of bounds memory access/).first();
          await problem.waitFor();
          const line = w.lineOf('trap.c', 'return t->cells[i]');
          assert.match(await problem.innerText(), new RegExp(`Ln ${line}\\b`));
          await d.press('stop');
          await d.ended();
          await w.closeEditors();
        },
      ],
      [
        'a program that never ends is paused, and stopped',
        async w => {
          const d = new Debugger(w);
          await w.contextMenu('spin.wasm', 'Debug');
          await w.showDebugView();
          await d.hasPrinted('spinning');
          await d.press('pause');
          await d.stoppedIn('main');
          await w.shot('paused');
          await d.press('stop');
          await d.ended();
        },
      ],
    ],
  },
];
