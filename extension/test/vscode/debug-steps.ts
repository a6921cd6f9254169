/** Debugging in the window: to a breakpoint in C, and what one does there. */
import assert from 'node:assert/strict';
import type { Locator } from 'playwright-core';
import { lineOf, type Step, until } from './ui.ts';
import type { Workbench } from './workbench.ts';

/** Left of the line number. A breakpoint can only be set when the extensions that offer them are there: clicked until it is. */
async function toggleBreakpoint(w: Workbench, line: number): Promise<void> {
  const number = w.page.locator('.monaco-editor .line-numbers', { hasText: new RegExp(`^${line}$`) }).first();
  const marks = w.page.locator('.monaco-editor .glyph-margin-widgets [class*="codicon-debug-breakpoint"]');
  const before = await marks.count();
  await until('the breakpoint', async () => {
    const box = (await number.boundingBox())!;
    await w.page.mouse.click(box.x - 8, box.y + box.height / 2);
    return until('a change', async () => (await marks.count()) !== before, 2000).then(
      () => true,
      () => false,
    );
  });
}

const stack = (w: Workbench): Locator => w.page.locator('.debug-call-stack .monaco-list-row');
const variable = (w: Workbench, name: string): Locator =>
  w.page.locator('.debug-variables .monaco-list-row', { hasText: new RegExp(`^${name}(?:[: =]|$)`) }).first();

async function stoppedAt(w: Workbench, line: number): Promise<void> {
  await w.page
    .locator('.statusbar-item', { hasText: `Ln ${line},` })
    .first()
    .waitFor();
}

export const DEBUG_STEPS: readonly Step[] = [
  [
    'a breakpoint in C stops the program, with its locals',
    async w => {
      await w.command('View: Show Explorer');
      await w.openFile('step.c');
      await toggleBreakpoint(w, lineOf(w, 'step.c', '#loop'));
      await w.contextMenu('step.wasm', 'Debug');
      await w.command('View: Show Run and Debug');
      await stack(w).filter({ hasText: 'main' }).first().waitFor();
      await stoppedAt(w, lineOf(w, 'step.c', '#loop'));
      // The scope is not always open at first.
      if (!(await variable(w, 'sum').isVisible()))
        await variable(w, 'Locals')
          .click({ timeout: 3000 })
          .catch(() => {});
      await variable(w, 'sum').waitFor();
      assert.match(await variable(w, 'sum').innerText(), /0/);
      assert.match(await variable(w, 'i').innerText(), /1/);
      await w.shot('breakpoint');
    },
  ],
  [
    'step into, out and over',
    async w => {
      await w.page.keyboard.press('F11');
      await stack(w).filter({ hasText: 'scale' }).first().waitFor();
      await w.page.keyboard.press('Shift+F11');
      await until('main on top', async () =>
        /main/.test(
          (await stack(w)
            .nth(1)
            .innerText()
            .catch(() => '')) ?? '',
        ),
      );
      await w.page.keyboard.press('F10');
    },
  ],
  [
    'a variable that is changed changes what is printed',
    async w => {
      await toggleBreakpoint(w, lineOf(w, 'step.c', '#print'));
      await toggleBreakpoint(w, lineOf(w, 'step.c', '#loop'));
      await w.page.keyboard.press('F5');
      await stoppedAt(w, lineOf(w, 'step.c', '#print'));
      await variable(w, 'sum').dblclick();
      await w.page
        .locator('.debug-variables input.input, .debug-variables .inputBoxContainer input')
        .first()
        .fill('1234');
      await w.page.keyboard.press('Enter');
      await until('the new value', async () => /1234/.test(await variable(w, 'sum').innerText()));
      await w.page.keyboard.press('F5');
      await w.page.locator('.repl-tree .monaco-list-row', { hasText: 'sum 1234' }).first().waitFor();
    },
  ],
  [
    'a program that never ends is paused, and stopped',
    async w => {
      await w.command('View: Show Explorer');
      await w.contextMenu('spin.wasm', 'Debug');
      await w.command('View: Show Run and Debug');
      await w.page.locator('.repl-tree .monaco-list-row', { hasText: 'spinning' }).first().waitFor();
      await w.page.keyboard.press('F6');
      await stack(w).filter({ hasText: 'main' }).first().waitFor();
      await w.shot('paused');
      await w.page.keyboard.press('Shift+F5');
      await until('the end', async () => (await stack(w).count()) === 0);
    },
  ],
];
