/**
 * The one object that owns the extension's state: log, diagnostics, running programs, traps, and the processes that do
 * the work.
 */
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { Runs } from './runs.ts';
import { readSettings, type Settings } from './settings.ts';
import { ModuleTool } from './tool/client.ts';
import { Traps } from './trap/traps.ts';

export class LucetContext implements vscode.Disposable {
  readonly log = vscode.window.createOutputChannel('Lucet', { log: true });
  /** The compiler's errors. The language server has a collection of its own for open texts. */
  readonly diagnostics = vscode.languages.createDiagnosticCollection('lucetc');
  readonly tool: ModuleTool;
  readonly runs: Runs;
  readonly traps: Traps;
  /** Artifact -> the .wasm or .wat it was compiled from, in this session. */
  readonly sources = new Map<string, string>();

  /** The .wasm or .wat that was debugged last in this session. */
  lastDebugged: string | null = null;

  constructor(readonly extension: vscode.ExtensionContext) {
    this.tool = new ModuleTool(this.dist('module-tool.js'));
    this.runs = new Runs(this);
    this.traps = new Traps(this);
  }

  private dist(name: string): string {
    return join(this.extension.extensionPath, 'dist', name);
  }

  /** A command-line tool that is a script. */
  script(name: 'lucetc-wasi' | 'lucet-objdump'): string {
    return join(this.extension.extensionPath, 'bin', `${name}.js`);
  }

  /** The executable that runs programs. */
  get lucetWasi(): string {
    const path = this.dist(join('native', 'lucet-wasi'));
    // Some ways of installing an extension lose the mode.
    if ((statSync(path).mode & 0o100) === 0) chmodSync(path, 0o755);
    return path;
  }

  get debugAdapter(): string {
    return this.dist('debug-adapter.cjs');
  }

  get languageServer(): string {
    return this.dist('wat-server.js');
  }

  /** Environment of child processes: scripts run on the editor's own runtime, which on a desktop is Electron. */
  get processEnv(): Record<string, string> {
    return { LUCET_NODE: process.execPath, ELECTRON_RUN_AS_NODE: '1' };
  }

  settings(scope?: vscode.Uri): Settings {
    return readSettings(scope);
  }

  dispose(): void {
    this.runs.dispose();
    this.traps.dispose();
    this.tool.dispose();
    this.diagnostics.dispose();
    this.log.dispose();
  }
}

/** The file that a command is about: the one it was called on, or the active editor's. */
export function targetFile(uri: vscode.Uri | string | undefined): vscode.Uri | undefined {
  if (typeof uri === 'string') return vscode.Uri.parse(uri);
  if (uri instanceof vscode.Uri) return uri;
  const input: unknown = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  if (input instanceof vscode.TabInputText || input instanceof vscode.TabInputCustom) return input.uri;
  return vscode.window.activeTextEditor?.document.uri;
}

/** Compiling and running execute code of the workspace: not before it is trusted. */
export function requireTrust(what: string): boolean {
  if (vscode.workspace.isTrusted) return true;
  void vscode.window
    .showErrorMessage(
      `Lucet: ${what} executes code of this folder; trust the workspace first.`,
      'Manage Trust',
    )
    .then(choice => {
      if (choice) void vscode.commands.executeCommand('workbench.trust.manage');
    });
  return false;
}
