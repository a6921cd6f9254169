/** Traps of this session: their diagnostics, and the inspector that shows them. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import type { LucetContext } from '../context.ts';
import type { RunOptions } from '../runs.ts';
import type { SourceContext } from '../sources.ts';
import { TrapActions, trapDiagnostic } from './diagnostics.ts';
import { TrapPanel } from './panel.ts';
import { type TrapView, trapView } from './view.ts';

/** The run that trapped. */
export interface Origin {
  readonly source: vscode.Uri;
  readonly options: RunOptions;
}

export interface ShownTrap {
  readonly view: TrapView;
  /** The report as it came. */
  readonly json: string;
  readonly origin: Origin | null;
  /** null: there is none. */
  readonly coredump: string | null;
}

export class Traps implements vscode.Disposable {
  private readonly collection = vscode.languages.createDiagnosticCollection('lucet-trap');
  private last: ShownTrap | null = null;
  private opened = false;
  private readonly panel: TrapPanel;
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly context: LucetContext) {
    this.panel = new TrapPanel(context);
    this.subscriptions = [
      this.collection,
      this.panel,
      vscode.languages.registerCodeActionsProvider(
        { scheme: 'file' },
        new TrapActions(),
        TrapActions.metadata,
      ),
    ];
  }

  /** Where sources of a trap's module may be. */
  sourceContext(trap: ShownTrap): SourceContext {
    const { view, origin } = trap;
    const folders = [
      ...(origin ? [dirname(origin.source.fsPath)] : []),
      ...(view.modulePath === null ? [] : [dirname(view.modulePath)]),
      ...(vscode.workspace.workspaceFolders ?? []).map(f => f.uri.fsPath),
    ];
    return { sourceMap: this.context.settings(origin?.source).sourceMap, folders };
  }

  /** A program has trapped: show it. */
  async add(json: string, origin: Origin | null, coredump: string | null = null): Promise<void> {
    const trap = this.parse(json, origin, coredump);
    if (!trap) return;
    // Core dumps hold the whole memory of a program: only the last one is kept.
    if (this.last?.coredump) rmSync(this.last.coredump, { force: true });
    this.last = trap;
    void vscode.commands.executeCommand('setContext', 'lucet.hasTrap', true);
    const found = trapDiagnostic(trap.view, this.sourceContext(trap));
    if (found) this.collection.set(found.uri, [found.diagnostic]);
    this.context.log.info(`trap: ${trap.view.message} (${trap.view.code}) in ${trap.view.functionName}`);
    const { trapAutoOpen } = this.context.settings(origin?.source);
    if (trapAutoOpen === 'always' || (trapAutoOpen === 'once' && !this.opened)) await this.show(trap);
    else if (trapAutoOpen === 'never') {
      const choice = vscode.window.showWarningMessage(`Lucet: trap: ${trap.view.message}`, 'Open Inspector');
      void choice.then(c => {
        if (c) void this.show(trap);
      });
    }
  }

  private parse(json: string, origin: Origin | null, coredump: string | null): ShownTrap | null {
    try {
      return { view: trapView(JSON.parse(json)), json, origin, coredump };
    } catch (e) {
      const why = e instanceof Error ? e.message : String(e);
      void vscode.window.showErrorMessage(`Lucet: the trap report can't be read: ${why}`);
      return null;
    }
  }

  private async show(trap: ShownTrap): Promise<void> {
    this.opened = true;
    await this.panel.show(trap, this.sourceContext(trap));
  }

  async openLast(): Promise<void> {
    if (this.last) await this.show(this.last);
    else void vscode.window.showInformationMessage('Lucet: nothing has trapped yet.');
  }

  /** The command `lucet.trap.open`: a report from a file. */
  async open(uri?: vscode.Uri): Promise<void> {
    const file =
      uri ??
      (
        await vscode.window.showOpenDialog({
          title: 'Open Trap Report',
          filters: { 'Trap reports': ['json'] },
        })
      )?.[0];
    if (!file) return;
    const trap = this.parse(readFileSync(file.fsPath, 'utf8'), null, null);
    if (trap) await this.show(trap);
    else this.context.log.warn(`${basename(file.fsPath)} is no trap report`);
  }

  /** The command `lucet.trap.exportCoredump`. */
  async exportCoredump(): Promise<void> {
    const from = this.last?.coredump;
    if (!from || !existsSync(from)) {
      void vscode.window.showInformationMessage(
        'Lucet: there is no core dump; run a program until it traps.',
      );
      return;
    }
    const to = await vscode.window.showSaveDialog({ title: 'Export Core Dump', saveLabel: 'Export' });
    if (to) await vscode.workspace.fs.copy(vscode.Uri.file(from), to, { overwrite: true });
  }

  /** Before a program is run again. */
  clear(): void {
    this.collection.clear();
  }

  dispose(): void {
    for (const s of this.subscriptions) s.dispose();
  }
}
