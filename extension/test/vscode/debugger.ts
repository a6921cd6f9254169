/** The parts of VS Code's window that belong to a debugged program. */
import type { Locator } from 'playwright-core';
import { until } from './until.ts';
import type { Workbench } from './workbench.ts';

/** Buttons of the debug toolbar, by the icon that VS Code gives them. */
const BUTTONS = {
  continue: 'debug-continue',
  pause: 'debug-pause',
  over: 'debug-step-over',
  into: 'debug-step-into',
  out: 'debug-step-out',
  stop: 'debug-stop',
} as const;

export class Debugger {
  constructor(private readonly w: Workbench) {}

  /** Frames; the first row names the thread when there is more than one session. */
  get stack(): Locator {
    return this.w.page.locator('.debug-call-stack .monaco-list-row .stack-frame');
  }

  /** Name of the innermost frame; empty: it does not stand. */
  async top(): Promise<string> {
    const { stack } = this;
    return (await stack.count()) === 0 ? '' : stack.first().locator('.label').innerText({ timeout: 1000 });
  }

  /** Until the program stands in a function, on a line of the editor (from 1). */
  async stoppedIn(name: string, line?: number): Promise<void> {
    let seen = '';
    await until(`stopped in ${name}`, async () => {
      seen = await this.top();
      return seen.includes(name);
    }).catch((e: Error) => {
      throw new Error(`${e.message}; the innermost frame is "${seen}"`);
    });
    if (line !== undefined) await this.w.cursorAt(line);
  }

  /** Press a button of the toolbar. Each press is asked for once; it is enabled when the session can take it. */
  async press(button: keyof typeof BUTTONS): Promise<void> {
    const icon = `.codicon-${BUTTONS[button]}:not(.disabled)`;
    await this.w.page.locator(`.debug-toolbar ${icon}, .part.sidebar .title ${icon}`).first().click();
  }

  /** Set or remove a breakpoint, left of the line's number. */
  async toggleBreakpoint(line: number): Promise<void> {
    const { page } = this.w;
    const number = page.locator('.monaco-editor .line-numbers', { hasText: new RegExp(`^${line}$`) }).first();
    const marks = page.locator('.monaco-editor .glyph-margin-widgets [class*="codicon-debug-breakpoint"]');
    const before = await marks.count();
    await this.w.act(
      `a breakpoint toggled on line ${line}`,
      async () => (await marks.count()) !== before,
      async () => {
        const box = await number.boundingBox();
        if (box) await page.mouse.click(box.x - 8, box.y + box.height / 2);
      },
    );
  }

  private row(name: string): Locator {
    return this.w.page
      .locator('.debug-variables .monaco-list-row', { hasText: new RegExp(`^${name}(?:[: =]|$)`) })
      .first();
  }

  /** A variable's row, with the scope of locals open. */
  private async variable(name: string): Promise<Locator> {
    const scope = this.row('Locals');
    await this.w.act(
      'the scope of locals is open',
      async () => (await scope.getAttribute('aria-expanded', { timeout: 1000 })) === 'true',
      () => scope.locator('.monaco-tl-twistie').click({ timeout: 1000 }),
    );
    await this.row(name).waitFor();
    return this.row(name);
  }

  /** What the Variables view shows behind the name. */
  private async value(name: string): Promise<string> {
    const row = await this.variable(name);
    return (await row.innerText())
      .replace(/\s+/g, ' ')
      .replace(/^[^=:]*[=:] ?/, '')
      .trim();
  }

  /** Until the Variables view, which follows a stop a little later, shows the value. */
  async hasValue(name: string, value: string): Promise<void> {
    let seen = '';
    await until(`${name} is ${value}`, async () => {
      seen = await this.value(name);
      return seen === value;
    }).catch((e: Error) => {
      throw new Error(`${e.message}; it is "${seen}"`);
    });
  }

  /** Type another value into the Variables view. The view is drawn anew now and then, which ends the typing. */
  async setValue(name: string, value: string): Promise<void> {
    await this.variable(name);
    const input = this.w.page.locator('.debug-variables .inputBoxContainer input').first();
    await this.w.act(
      `${name} is ${value}`,
      async () => (await this.value(name)) === value,
      async () => {
        if (!(await input.isVisible())) await this.row(name).dblclick({ timeout: 3000 });
        await input.fill(value, { timeout: 3000 });
        await input.press('Enter', { timeout: 3000 });
      },
    );
  }

  /** Until the Debug Console has a line with the text. */
  async hasPrinted(text: string): Promise<void> {
    const { page } = this.w;
    await this.w.act(
      'the Debug Console',
      () => page.locator('.repl').isVisible(),
      () => page.locator('.part.panel .action-label[aria-label^="Debug Console"]').click({ timeout: 3000 }),
    );
    await page.locator('.repl-tree .monaco-list-row', { hasText: text }).first().waitFor();
  }

  async ended(): Promise<void> {
    await until('the session ends', async () => (await this.stack.count()) === 0);
    await this.w.page.locator('.debug-toolbar, .codicon-debug-stop').first().waitFor({ state: 'hidden' });
  }
}
