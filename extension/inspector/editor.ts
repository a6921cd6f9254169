/** The read-only editor `lucet.moduleInspector`: its page asks, the module tool answers. */
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import type { LucetContext } from '../context.ts';
import type { Method } from '../tool/protocol.ts';
import { renderDocument } from '../trap/document.ts';
import { PAGE } from './page.ts';

/** What the page may ask, about its own file only. */
const METHODS: ReadonlySet<string> = new Set<Method>(['summary', 'code', 'nativeSizes']);

interface Message {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly index?: unknown;
}

class ModuleDocument implements vscode.CustomDocument {
  constructor(readonly uri: vscode.Uri) {}
  dispose(): void {}
}

export class ModuleInspector implements vscode.CustomReadonlyEditorProvider<ModuleDocument> {
  static readonly viewType = 'lucet.moduleInspector';

  constructor(private readonly context: LucetContext) {}

  openCustomDocument(uri: vscode.Uri): ModuleDocument {
    return new ModuleDocument(uri);
  }

  resolveCustomEditor(document: ModuleDocument, panel: vscode.WebviewPanel): void {
    const { extensionUri } = this.context.extension;
    const roots = [
      vscode.Uri.joinPath(extensionUri, 'media'),
      vscode.Uri.joinPath(extensionUri, 'dist', 'webview'),
    ];
    panel.webview.options = { enableScripts: true, localResourceRoots: roots };
    const asset = (root: vscode.Uri, name: string) =>
      panel.webview.asWebviewUri(vscode.Uri.joinPath(root, name)).toString();
    const load = (): void => {
      panel.webview.html = renderDocument('Module', PAGE, {
        cspSource: panel.webview.cspSource,
        nonce: randomBytes(16).toString('hex'),
        styles: [asset(roots[0]!, 'code.css'), asset(roots[0]!, 'inspector.css')],
        script: asset(roots[1]!, 'inspector.js'),
        state: JSON.stringify({ trusted: vscode.workspace.isTrusted }),
      });
    };
    const pattern = new vscode.RelativePattern(vscode.Uri.joinPath(document.uri, '..'), '*');
    const watcher = vscode.workspace.createFileSystemWatcher(pattern, true, false, true);
    watcher.onDidChange(changed => {
      if (changed.toString() === document.uri.toString()) void panel.webview.postMessage({ changed: true });
    });
    panel.onDidDispose(() => watcher.dispose());
    panel.webview.onDidReceiveMessage(
      (message: Message) => void this.answer(document, panel.webview, message),
    );
    load();
  }

  private async answer(document: ModuleDocument, webview: vscode.Webview, message: Message): Promise<void> {
    const { id, method, index } = message;
    if (typeof id !== 'number' || typeof method !== 'string' || !METHODS.has(method)) return;
    const path = document.uri.fsPath;
    const native = vscode.workspace.isTrusted;
    try {
      const { tool } = this.context;
      let result: unknown;
      if (method === 'summary') result = await tool.request('summary', { path });
      else if (method === 'nativeSizes') result = native ? await tool.request('nativeSizes', { path }) : [];
      else
        result = await tool.request('code', {
          path,
          index: typeof index === 'number' ? index : -1,
          native,
          syntax: this.context.settings(document.uri).disassemblySyntax,
        });
      await webview.postMessage({ id, result });
    } catch (e) {
      await webview.postMessage({ id, error: e instanceof Error ? e.message : String(e) });
    }
  }
}
