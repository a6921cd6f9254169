/** The language server's client: a child process, started when a text module is opened. */
import * as vscode from 'vscode';
import { LanguageClient, TransportKind } from 'vscode-languageclient/node';
import type { LucetContext } from './context.ts';

export class LanguageServer implements vscode.Disposable {
  private client: LanguageClient | null = null;
  private readonly subscription: vscode.Disposable;

  constructor(private readonly context: LucetContext) {
    this.subscription = vscode.workspace.onDidChangeConfiguration(e => {
      if (e.affectsConfiguration('lucet.languageServer.enable')) void this.restart();
    });
  }

  async start(): Promise<void> {
    if (!this.context.settings().languageServer) return;
    const run = {
      module: this.context.languageServer,
      transport: TransportKind.ipc,
      options: { env: { ...process.env, ...this.context.processEnv } },
    };
    const client = new LanguageClient(
      'lucet',
      'Lucet',
      { run, debug: run },
      {
        // The language of .wasm files is wat, too: they are no text.
        documentSelector: [
          { language: 'wat', scheme: 'file', pattern: '**/*.{wat,wast}' },
          { language: 'wat', scheme: 'untitled' },
          { language: 'wat', scheme: 'lucet-wat' },
        ],
        outputChannel: this.context.log,
      },
    );
    this.client = client;
    try {
      await client.start();
    } catch (e) {
      this.context.log.error(
        `the language server could not be started: ${e instanceof Error ? e.message : String(e)}`,
      );
    }
  }

  async restart(): Promise<void> {
    const { client } = this;
    this.client = null;
    await client?.dispose().catch(() => {});
    await this.start();
  }

  dispose(): void {
    this.subscription.dispose();
    void this.client?.dispose().catch(() => {});
  }
}
