/** The debug type `lucet`: F5 without a launch.json on a .wasm or .wat, how the adapter is started, and traps in debugged programs. */
import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { type LucetContext, requireTrust, targetFile } from './context.ts';

const NAME = 'Lucet: debug active file';

/** Fill in what a launch configuration leaves out; undefined cancels the launch (the reason has been shown). */
function resolveConfiguration(config: vscode.DebugConfiguration): vscode.DebugConfiguration | undefined {
  if (!requireTrust('debugging')) return undefined;
  if (config.program !== undefined || config.request === 'attach') return config;
  const file = targetFile(undefined);
  if (!file || !/\.(?:wasm|wat)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage(
      'Lucet: open a .wasm or .wat file, or write a launch configuration with "program".',
    );
    return undefined;
  }
  return { ...config, type: 'lucet', request: 'launch', name: config.name || NAME, program: file.fsPath };
}

/** When variables have been put in. */
function checkConfiguration(
  context: LucetContext,
  folder: vscode.WorkspaceFolder | undefined,
  config: vscode.DebugConfiguration,
): vscode.DebugConfiguration | undefined {
  const program: unknown = config.program;
  if (typeof program === 'string' && !existsSync(program)) {
    void vscode.window.showErrorMessage(`Lucet: there is no program ${program}.`);
    return undefined;
  }
  const { sourceMap } = context.settings(folder?.uri);
  if (typeof program === 'string') context.traps.clear();
  return {
    ...config,
    ...(config.sourceMap === undefined && Object.keys(sourceMap).length > 0 ? { sourceMap } : {}),
  };
}

/** Watches a session for stops at a trap, and shows their report. */
class TrapTracker implements vscode.DebugAdapterTracker {
  constructor(
    private readonly context: LucetContext,
    private readonly session: vscode.DebugSession,
  ) {}

  onDidSendMessage(message: {
    type?: string;
    event?: string;
    body?: { reason?: string; threadId?: number };
  }): void {
    if (message.type !== 'event' || message.event !== 'stopped' || message.body?.reason !== 'exception')
      return;
    void this.show(message.body.threadId ?? 1);
  }

  private async show(threadId: number): Promise<void> {
    try {
      const report: unknown = await this.session.customRequest('lucet.trapReport', { threadId });
      const { program } = this.session.configuration;
      if (typeof report !== 'object' || report === null) return;
      const origin =
        typeof program === 'string' ? { source: vscode.Uri.file(program), options: { args: [] } } : null;
      await this.context.traps.add(JSON.stringify(report), origin);
    } catch (e) {
      this.context.log.debug(`no report of the exception: ${e instanceof Error ? e.message : String(e)}`);
    }
  }
}

export function debugRegistrations(context: LucetContext): vscode.Disposable[] {
  return [
    vscode.debug.registerDebugConfigurationProvider('lucet', {
      resolveDebugConfiguration: (_folder, config) => resolveConfiguration(config),
      resolveDebugConfigurationWithSubstitutedVariables: (folder, config) =>
        checkConfiguration(context, folder, config),
    }),
    vscode.debug.registerDebugConfigurationProvider(
      'lucet',
      {
        provideDebugConfigurations: () => [
          // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of the editor's
          { type: 'lucet', request: 'launch', name: NAME, program: '${file}' },
        ],
      },
      vscode.DebugConfigurationProviderTriggerKind.Dynamic,
    ),
    vscode.debug.registerDebugAdapterDescriptorFactory('lucet', {
      // On the editor's own runtime: there need not be another Node.
      createDebugAdapterDescriptor: () =>
        new vscode.DebugAdapterExecutable(process.execPath, [context.debugAdapter], {
          env: context.processEnv,
        }),
    }),
    vscode.debug.registerDebugAdapterTrackerFactory('lucet', {
      createDebugAdapterTracker: session => new TrapTracker(context, session),
    }),
  ];
}
