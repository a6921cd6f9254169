/** The trap inspector: one panel, filled with the trap that was shown last, and restored with the window. */
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import { debugCommand } from '../commands.ts';
import type { LucetContext } from '../context.ts';
import { findSource, type SourceContext } from '../sources.ts';
import type { FunctionCode } from '../tool/protocol.ts';
import { renderDocument } from './document.ts';
import { renderPage, type SourceLines } from './html.ts';
import type { ShownTrap } from './traps.ts';
import { placeOf, type TrapView, trapView } from './view.ts';

const VIEW_TYPE = 'lucet.trapInspector';
/** Lines of source around what the function covers. */
const MARGIN = 4;
const MAX_SOURCE_LINES = 2000;
const MAX_SOURCE_BYTES = 4 << 20;

/** What the page sends. Nothing in it is trusted: it holds text of the module's. */
interface Message {
  readonly command?: unknown;
  readonly file?: unknown;
  readonly line?: unknown;
  readonly column?: unknown;
}

export class TrapPanel implements vscode.Disposable {
  private panel: vscode.WebviewPanel | null = null;
  private shown: { trap: ShownTrap; sources: SourceContext } | null = null;
  private readonly serializer: vscode.Disposable;

  constructor(private readonly context: LucetContext) {
    this.serializer = vscode.window.registerWebviewPanelSerializer(VIEW_TYPE, {
      deserializeWebviewPanel: async (panel, state: unknown) => {
        const json = (state as { report?: unknown } | undefined)?.report;
        try {
          if (typeof json !== 'string') throw new Error('no report');
          const trap = { view: trapView(JSON.parse(json)), json, origin: null, coredump: null };
          this.adopt(panel);
          await this.show(trap, this.context.traps.sourceContext(trap));
        } catch {
          panel.dispose();
        }
      },
    });
  }

  async show(trap: ShownTrap, sources: SourceContext): Promise<void> {
    this.shown = { trap, sources };
    if (!this.panel) {
      // Beside whatever is open, even if that is no text: a click here, or the debugger, opens the source there.
      const isEmpty = vscode.window.tabGroups.all.every(g => g.tabs.length === 0);
      const column = isEmpty ? vscode.ViewColumn.Active : vscode.ViewColumn.Beside;
      this.adopt(
        vscode.window.createWebviewPanel(
          VIEW_TYPE,
          'Trap',
          { viewColumn: column, preserveFocus: true },
          { enableScripts: true, localResourceRoots: this.roots },
        ),
      );
    }
    const panel = this.panel!;
    const code = await this.codeOf(trap);
    // Another trap, or none, by now.
    if (this.shown?.trap !== trap || this.panel !== panel) return;
    const source = sourceLines(trap.view, code, sources);
    panel.title = `Trap: ${trap.view.code}`;
    const body = renderPage({
      view: trap.view,
      code,
      source,
      canRerun: trap.origin !== null,
      hasCoredump: trap.coredump !== null,
    });
    const asset = (...path: string[]) =>
      panel.webview
        .asWebviewUri(vscode.Uri.joinPath(this.context.extension.extensionUri, ...path))
        .toString();
    panel.webview.html = renderDocument(panel.title, body, {
      cspSource: panel.webview.cspSource,
      nonce: randomBytes(16).toString('hex'),
      styles: [asset('media', 'code.css'), asset('media', 'trap.css')],
      script: asset('dist', 'webview', 'trap.js'),
      state: JSON.stringify({ report: trap.json }),
    });
    if (!panel.visible) panel.reveal(undefined, true);
  }

  private get roots(): vscode.Uri[] {
    const { extensionUri } = this.context.extension;
    return [vscode.Uri.joinPath(extensionUri, 'media'), vscode.Uri.joinPath(extensionUri, 'dist', 'webview')];
  }

  private adopt(panel: vscode.WebviewPanel): void {
    this.panel?.dispose();
    this.panel = panel;
    panel.webview.options = { enableScripts: true, localResourceRoots: this.roots };
    const icon = (name: string) => vscode.Uri.joinPath(this.context.extension.extensionUri, 'media', name);
    panel.iconPath = { light: icon('lucet-light.svg'), dark: icon('lucet-dark.svg') };
    panel.onDidDispose(() => {
      if (this.panel === panel) this.panel = null;
    });
    panel.webview.onDidReceiveMessage((message: Message) => void this.receive(message));
  }

  private async codeOf({ view, origin }: ShownTrap): Promise<FunctionCode | null> {
    if (view.functionIndex === null || view.moduleHash === '') return null;
    const candidates = new Set<string>();
    if (origin) candidates.add(origin.source.fsPath);
    if (view.modulePath !== null) {
      const compiled = this.context.sources.get(view.modulePath);
      if (compiled) candidates.add(compiled);
      for (const extension of ['.wasm', '.wat']) candidates.add(view.modulePath.replace(/\.so$/, extension));
    }
    try {
      return await this.context.tool.request('trapCode', {
        artifact: view.modulePath,
        hash: view.moduleHash,
        index: view.functionIndex,
        candidates: [...candidates].filter(c => /\.(?:wasm|wat)$/.test(c)),
        syntax: this.context.settings(origin?.source).disassemblySyntax,
      });
    } catch (e) {
      this.context.log.warn(`code of the trap's function: ${e instanceof Error ? e.message : String(e)}`);
      return null;
    }
  }

  private async receive(message: Message): Promise<void> {
    if (!this.shown) return;
    const { trap, sources } = this.shown;
    switch (message.command) {
      case 'source': {
        if (typeof message.file !== 'string') return;
        const line = typeof message.line === 'number' ? message.line : 1;
        const column = typeof message.column === 'number' ? message.column : 1;
        await openSource(message.file, line, column, sources);
        return;
      }
      case 'copy':
        await vscode.env.clipboard.writeText(trap.json);
        vscode.window.setStatusBarMessage('Lucet: the report is in the clipboard.', 3000);
        return;
      case 'save': {
        const uri = await vscode.window.showSaveDialog({ filters: { 'Trap reports': ['json'] } });
        if (uri) await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(trap.json));
        return;
      }
      case 'coredump':
        await this.context.traps.exportCoredump();
        return;
      case 'rerun':
        if (trap.origin) await vscode.commands.executeCommand('lucet.run', trap.origin.source);
        return;
      case 'debug':
        if (trap.origin) await debugCommand(this.context, trap.origin.source);
        return;
    }
  }

  dispose(): void {
    this.serializer.dispose();
    this.panel?.dispose();
  }
}

/** Only files that the search for sources finds are opened, whatever the module names. */
async function openSource(file: string, line: number, column: number, sources: SourceContext): Promise<void> {
  const path = findSource(file, sources);
  if (path === null) {
    const choice = await vscode.window.showWarningMessage(
      `Lucet: ${file} is not on this machine. "lucet.debug.sourceMap" tells where sources are.`,
      'Open Settings',
    );
    if (choice) void vscode.commands.executeCommand('workbench.action.openSettings', 'lucet.debug.sourceMap');
    return;
  }
  const position = new vscode.Position(Math.max(0, line - 1), Math.max(0, column - 1));
  await vscode.window.showTextDocument(vscode.Uri.file(path), {
    viewColumn: vscode.ViewColumn.One,
    selection: new vscode.Range(position, position),
  });
}

/** The part of the source that the function covers. */
function sourceLines(view: TrapView, code: FunctionCode | null, sources: SourceContext): SourceLines | null {
  const position = view.source ?? placeOf(view).source;
  if (position === null || position.line === 0) return null;
  const path = findSource(position.file, sources);
  const size = path === null ? 0 : statSync(path).size;
  // Files of the kernel's (/proc) have no size, and reading them may wait.
  if (path === null || size === 0 || size > MAX_SOURCE_BYTES) return null;
  const file = code?.files.indexOf(position.file) ?? -1;
  let from = position.line;
  let to = position.line;
  for (const row of code?.wat ?? []) {
    if (row.file !== file || file < 0) continue;
    from = Math.min(from, row.line);
    to = Math.max(to, row.line);
  }
  from = Math.max(1, from - MARGIN, position.line - MAX_SOURCE_LINES / 2);
  to = Math.min(to + MARGIN, from + MAX_SOURCE_LINES);
  const lines = readFileSync(path, 'utf8')
    .split(/\r?\n/)
    .slice(from - 1, to);
  return { position, path, from, lines };
}
