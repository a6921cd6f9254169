/**
 * What a person does in VS Code's window, by its selectors. Everything waits for a state, nothing for a time. What the
 * window itself may swallow (a click on a menu that has just opened, a key while the focus moves) is done again until
 * it is seen to have been taken; what the extension owes for it is asked for once.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Frame, Locator, Page } from 'playwright-core';
import { until } from './until.ts';

const LONG_MS = 60_000;
/** After this time an action that shows no effect is done again. */
const AGAIN_MS = 3000;

export class Workbench {
  private readonly palette: Locator;

  constructor(
    readonly page: Page,
    /** The workspace. */
    readonly folder: string,
    private readonly screenshots: string,
  ) {
    page.setDefaultTimeout(LONG_MS);
    this.palette = page.locator('.quick-input-widget');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Number of the first line that has the marker; from 1. */
  lineOf(file: string, marker: string): number {
    const lines = readFileSync(this.path(file), 'utf8').split('\n');
    const index = lines.findIndex(l => l.includes(marker));
    if (index < 0) throw new Error(`${file} has no ${marker}`);
    return index + 1;
  }

  async shot(name: string): Promise<void> {
    await this.page.screenshot({ path: join(this.screenshots, `${name}.png`) });
  }

  /** Do something that a busy window may ignore, until its effect is seen. */
  async act(
    what: string,
    seen: () => Promise<boolean>,
    action: () => Promise<void>,
    again = AGAIN_MS,
  ): Promise<void> {
    await until(
      what,
      async () => {
        if (await seen()) return true;
        await action();
        return until(what, seen, again).catch(() => false);
      },
      LONG_MS,
    );
  }

  /** Until the window takes commands, and the extension's contributions are among them. */
  async ready(): Promise<void> {
    await this.explorerFile('hello.wasm').waitFor();
    await this.openContextMenu('hello.wasm', 'Compile to Native (.so)');
    await this.closeMenus();
  }

  explorerFile(name: string): Locator {
    return this.page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`);
  }

  private tab(name: string): Locator {
    return this.page.locator(`.tab.active[aria-label^="${name}"]`);
  }

  async openFile(name: string): Promise<void> {
    await this.showView('Explorer', this.page.locator('.explorer-folders-view'));
    await this.act(
      `an editor for ${name}`,
      () => this.tab(name).isVisible(),
      () => this.explorerFile(name).dblclick({ timeout: AGAIN_MS }),
    );
    // The editor takes the focus when it is there. That closes menus, and keys mean this file only then. What is no
    // text is told of in its place.
    const group = this.page.locator('.editor-group-container.active');
    await group.locator('.monaco-editor.focused, .monaco-editor-pane-placeholder').first().waitFor();
    await this.tab(name).click();
    await this.page.locator('.part.editor:focus-within').waitFor();
  }

  private menuEntry(item: string): Locator {
    const label = new RegExp(`^${item.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
    return this.page.locator('.monaco-menu .action-item .action-label', { hasText: label }).first();
  }

  /** An open menu takes every click. Escape closes it only if it has the focus; a click beside it always does. */
  async closeMenus(): Promise<void> {
    const menu = this.page.locator('.monaco-menu').first();
    const block = this.page.locator('.context-view-block').first();
    await this.act(
      'menus are closed',
      async () => !(await menu.isVisible()),
      async () => {
        await this.page.keyboard.press('Escape');
        if ((await block.count()) > 0)
          await block.click({ position: { x: 2, y: 2 }, force: true, timeout: 500 }).catch(() => {});
      },
    );
  }

  /** Contributions arrive late: the menu is opened again until it has the item. */
  private async openContextMenu(file: string, item: string): Promise<void> {
    await this.act(
      `${item} in the menu of ${file}`,
      () => this.menuEntry(item).isVisible(),
      async () => {
        await this.closeMenus();
        await this.explorerFile(file).click({ button: 'right', timeout: AGAIN_MS });
      },
      1000,
    );
  }

  /**
   * Choose from the explorer's context menu. A menu that is still open after a click has ignored it; one that closed
   * before the click (something else took the focus) has not been chosen from, either.
   */
  async contextMenu(file: string, item: string): Promise<void> {
    await this.showView('Explorer', this.page.locator('.explorer-folders-view'));
    const entry = this.menuEntry(item);
    await until(
      `${item} chosen from the menu of ${file}`,
      async () => {
        await this.openContextMenu(file, item);
        await entry.click({ timeout: 1000 });
        return until('the menu closes', async () => (await entry.count()) === 0, 1000).catch(() => false);
      },
      LONG_MS,
    );
  }

  /**
   * Run a command by its title from the palette. What takes the focus meanwhile closes the palette: then it is opened
   * again.
   */
  async command(title: string): Promise<void> {
    const input = this.palette.locator('input.input');
    const row = this.palette.locator(`.monaco-list-row[aria-label^="${title}"]`).first();
    await until(
      `the command ${title}`,
      async () => {
        if (!(await input.isVisible())) await this.page.keyboard.press('F1');
        await input.fill(`>${title}`, { timeout: AGAIN_MS });
        await row.click({ timeout: AGAIN_MS });
        return true;
      },
      LONG_MS,
    );
    await this.palette.waitFor({ state: 'hidden' });
  }

  /** Choose from a list that the extension shows. */
  async pick(label: string): Promise<void> {
    await this.palette.locator('.monaco-list-row', { hasText: label }).first().click();
    await this.palette.waitFor({ state: 'hidden' });
  }

  /** A view by the command that focuses it. */
  private async showView(name: string, content: Locator): Promise<void> {
    if (await content.first().isVisible()) return;
    await this.command(`View: Show ${name}`);
    await content.first().waitFor();
  }

  showDebugView(): Promise<void> {
    return this.showView('Run and Debug', this.page.locator('.debug-variables'));
  }

  /** Rows of the Problems panel that have the text. */
  problem(text: string | RegExp): Locator {
    return this.page.locator('.markers-panel .monaco-list-row', { hasText: text });
  }

  async showProblems(): Promise<void> {
    const panel = this.page.locator('.markers-panel');
    if (!(await panel.isVisible())) await this.command('Problems: Focus on Problems View');
    await panel.waitFor();
  }

  statusItem(text: string | RegExp): Locator {
    return this.page.locator('.statusbar-item', { hasText: text }).first();
  }

  /** Where the cursor is; line from 1. */
  async cursorAt(line: number): Promise<void> {
    await this.statusItem(new RegExp(`Ln ${line}, Col`)).waitFor();
  }

  /** The inner frame of a webview whose page has the element. */
  async webview(selector: string): Promise<Frame> {
    return until(
      `a webview with ${selector}`,
      async () => {
        for (const frame of this.page.frames()) {
          if (!frame.parentFrame()) continue;
          const isFound = await frame
            .locator(selector)
            .first()
            .isVisible()
            .catch(() => false);
          if (isFound) return frame;
        }
        return null;
      },
      LONG_MS,
    );
  }

  /** Text that the terminal shows: the settings have it drawn as elements, not on a canvas. */
  async terminalText(): Promise<string> {
    const rows = await this.page.locator('.terminal-wrapper.active .xterm-rows').first().innerText();
    return rows.replace(/\u00a0/g, ' ');
  }

  async closePanel(): Promise<void> {
    const panel = this.page.locator('.part.panel');
    await this.act(
      'the panel is closed',
      async () => !(await panel.isVisible()),
      () => this.command('View: Hide Panel'),
    );
  }

  async closeEditors(): Promise<void> {
    await this.act(
      'no editor is open',
      async () => (await this.page.locator('.tabs-container .tab').count()) === 0,
      () => this.command('View: Close All Editors'),
    );
  }
}
