/** What a person does in VS Code's window, by its selectors. Everything polls; nothing sleeps for a fixed time. */
import { join } from 'node:path';
import type { Frame, Locator, Page } from 'playwright-core';

const LONG_MS = 30_000;

export class Workbench {
  constructor(
    readonly page: Page,
    readonly folder: string,
    private readonly screenshots: string,
  ) {
    page.setDefaultTimeout(LONG_MS);
  }

  async shot(name: string): Promise<void> {
    await this.page.screenshot({ path: join(this.screenshots, `${name}.png`) });
  }

  explorerFile(name: string): Locator {
    return this.page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`);
  }

  async openFile(name: string): Promise<void> {
    await this.explorerFile(name).dblclick();
    await this.page.locator(`.tab.active[aria-label^="${name}"]`).waitFor();
  }

  /** An open menu takes every click. Escape closes it only if it has the focus; a click beside it always does. */
  async closeMenus(): Promise<void> {
    const menu = this.page.locator('.monaco-menu-container');
    const block = this.page.locator('.context-view-block').first();
    for (let n = 0; n < 10 && (await menu.count()) > 0; n++) {
      await this.page.keyboard.press('Escape');
      if ((await block.count()) > 0)
        await block.click({ position: { x: 2, y: 2 }, force: true, timeout: 500 }).catch(() => {});
    }
  }

  /** The explorer's context menu. Contributions arrive late: it is opened again until the item is there. */
  async contextMenu(file: string, item: string): Promise<void> {
    const entry = this.page.locator('.monaco-menu .action-item', { hasText: item }).first();
    const end = Date.now() + LONG_MS;
    for (;;) {
      try {
        await this.explorerFile(file).click({ button: 'right', timeout: 3000 });
        await entry.waitFor({ timeout: 2000 });
        // A click right after the menu opened is ignored: the menu stays.
        for (let n = 0; n < 5; n++) {
          await entry.click({ timeout: 3000 });
          const isClosed = await entry.waitFor({ state: 'hidden', timeout: 1000 }).then(
            () => true,
            () => false,
          );
          if (isClosed) return;
        }
        throw new Error(`the menu does not take a click on ${item}`);
      } catch (e) {
        if (Date.now() > end) throw e;
        await this.closeMenus();
      }
    }
  }

  async command(title: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input.input');
    const row = this.page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first();
    const end = Date.now() + LONG_MS;
    // What takes the focus meanwhile closes the palette: it is opened again.
    for (;;) {
      try {
        await this.page.keyboard.press('F1');
        await input.fill(`>${title}`, { timeout: 3000 });
        await row.click({ timeout: 3000 });
        return;
      } catch (e) {
        if (Date.now() > end) throw e;
        await this.page.keyboard.press('Escape');
      }
    }
  }

  /** Rows of the Problems panel that have the text. */
  problem(text: string | RegExp): Locator {
    return this.page.locator('.markers-panel .monaco-list-row', { hasText: text });
  }

  async showProblems(): Promise<void> {
    if (!(await this.page.locator('.markers-panel').isVisible()))
      await this.command('Problems: Focus on Problems View');
    await this.page.locator('.markers-panel').waitFor();
  }

  /** The inner frame of a webview whose page has the element. */
  async webview(selector: string): Promise<Frame> {
    const end = Date.now() + LONG_MS;
    for (;;) {
      for (const frame of this.page.frames()) {
        if (!frame.parentFrame()) continue;
        const found = await frame
          .locator(selector)
          .first()
          .isVisible()
          .catch(() => false);
        if (found) return frame;
      }
      if (Date.now() > end) throw new Error(`no webview with ${selector}`);
      await this.page.waitForTimeout(100);
    }
  }

  /** Text that the terminal shows: the settings have it drawn as elements, not on a canvas. */
  async terminalText(): Promise<string> {
    const rows = await this.page.locator('.terminal-wrapper.active .xterm-rows').first().innerText();
    return rows.replace(/\u00a0/g, ' ');
  }

  async theme(name: string): Promise<void> {
    await this.command('Preferences: Color Theme');
    const input = this.page.locator('.quick-input-widget input.input');
    await this.page
      .locator('.quick-input-list .monaco-list-row', { hasText: 'Dark Modern' })
      .first()
      .waitFor();
    await input.fill(name);
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: name }).first().click();
    await input.waitFor({ state: 'hidden' });
  }

  async closeEditors(): Promise<void> {
    await this.command('View: Close All Editors');
    await this.page.locator('.tabs-container .tab').first().waitFor({ state: 'detached' });
  }
}
