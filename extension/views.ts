/** Modules as read-only documents: `lucet-wat:` shows the text format, `lucet-native:` machine code. */
import * as vscode from 'vscode';
import { type LucetContext, requireTrust, targetFile } from './context.ts';

const WAT = 'lucet-wat';
const NATIVE = 'lucet-native';

class ModuleText implements vscode.TextDocumentContentProvider {
  constructor(
    private readonly context: LucetContext,
    private readonly native: boolean,
  ) {}

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const path = decodeURIComponent(uri.query);
    try {
      return await this.context.tool.request('text', {
        path,
        native: this.native,
        syntax: this.context.settings(vscode.Uri.file(path)).disassemblySyntax,
      });
    } catch (e) {
      const comment = this.native ? ';' : ';;';
      return `${comment} ${path}: ${e instanceof Error ? e.message : String(e)}\n`;
    }
  }
}

async function show(uri: vscode.Uri | undefined, scheme: string, extension: string): Promise<void> {
  const file = targetFile(uri);
  if (!file || !/\.(?:wasm|wat)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage('Lucet: select a .wasm or .wat file to look at.');
    return;
  }
  const view = vscode.Uri.from({
    scheme,
    path: `${file.path}${extension}`,
    query: encodeURIComponent(file.fsPath),
  });
  const document = await vscode.workspace.openTextDocument(view);
  await vscode.window.showTextDocument(document, { preview: true, viewColumn: vscode.ViewColumn.Beside });
}

export function viewRegistrations(context: LucetContext): vscode.Disposable[] {
  return [
    vscode.workspace.registerTextDocumentContentProvider(WAT, new ModuleText(context, false)),
    vscode.workspace.registerTextDocumentContentProvider(NATIVE, new ModuleText(context, true)),
    vscode.commands.registerCommand('lucet.showWat', (uri?: vscode.Uri) => show(uri, WAT, '.wat')),
    vscode.commands.registerCommand('lucet.showNativeDisassembly', (uri?: vscode.Uri) => {
      if (requireTrust('compiling')) return show(uri, NATIVE, '.s');
    }),
  ];
}
