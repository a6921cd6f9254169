/** The extension's state: log, diagnostics, and where the tools lie. Everything heavy runs in child processes. */
import { join } from 'node:path';
import * as vscode from 'vscode';

export class LucetContext implements vscode.Disposable {
  readonly log = vscode.window.createOutputChannel('Lucet', { log: true });
  readonly diagnostics = vscode.languages.createDiagnosticCollection('lucetc');

  constructor(private readonly extensionPath: string) {}

  tool(name: 'lucetc-wasi' | 'lucet-wasi'): string {
    return join(this.extensionPath, 'bin', `${name}.js`);
  }

  get debugAdapter(): string {
    return join(this.extensionPath, 'dist', 'debug-adapter.cjs');
  }

  dispose(): void {
    this.log.dispose();
    this.diagnostics.dispose();
  }
}

/** The file that a command is about: the one it was called on, or the active editor's. */
export function targetFile(uri: vscode.Uri | undefined): vscode.Uri | undefined {
  if (uri) return uri;
  const input: unknown = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  if (input instanceof vscode.TabInputText || input instanceof vscode.TabInputCustom) return input.uri;
  return vscode.window.activeTextEditor?.document.uri;
}

/** Compiling and running execute code of the workspace: not before it is trusted. */
export function requireTrust(what: string): boolean {
  if (vscode.workspace.isTrusted) return true;
  void vscode.window.showErrorMessage(
    `Lucet: ${what} executes code of this folder; trust the workspace first.`,
  );
  return false;
}
