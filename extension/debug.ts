/**
 * The debug type `lucet`: F5 without a launch.json on a .wasm or .wat, how the adapter is started, and traps in
 * debugged programs.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';
import { grantsOf, LAST_WORDS, parseEnvFile, saysRefused } from './command-line.ts';
import { type LucetContext, requireTrust, targetFile } from './context.ts';

const NAME = 'Lucet: debug active file';

/** How many modules are offered; a workspace may have thousands. */
const MAX_OFFERED = 100;

/**
 * The module that F5 means: the active file, or what the active source was compiled to if it lies beside it, or the one
 * that was debugged last; the workspace's only one; else the user chooses. undefined: none (the reason has been shown),
 * or given up.
 */
async function chooseModule(context: LucetContext): Promise<string | undefined> {
  const active = targetFile(undefined);
  if (active?.scheme === 'file') {
    if (/\.(?:wasm|wat)$/.test(active.fsPath)) return active.fsPath;
    const beside = `${active.fsPath.replace(/\.[^./]*$/, '')}.wasm`;
    if (existsSync(beside)) return beside;
  }
  if (context.lastDebugged !== null && existsSync(context.lastDebugged)) return context.lastDebugged;
  const found = await vscode.workspace.findFiles('**/*.wasm', '**/node_modules/**', MAX_OFFERED);
  if (found.length === 1) return found[0]!.fsPath;
  if (found.length > 1) {
    const items = found.map(uri => ({ label: vscode.workspace.asRelativePath(uri), uri }));
    items.sort((a, b) => a.label.localeCompare(b.label));
    const picked = await vscode.window.showQuickPick(items, { title: 'Lucet: Debug Which Module?' });
    return picked?.uri.fsPath;
  }
  void vscode.window.showErrorMessage(
    'Lucet: there is no .wasm in this folder: build one, open a .wat, or write a launch configuration with "program".',
  );
  return undefined;
}

/** Fill in what a launch configuration leaves out; undefined cancels the launch (the reason has been shown). */
async function resolveConfiguration(
  context: LucetContext,
  config: vscode.DebugConfiguration,
): Promise<vscode.DebugConfiguration | undefined> {
  if (!requireTrust('debugging')) return undefined;
  if (config.program !== undefined || config.request === 'attach') return config;
  const program = await chooseModule(context);
  if (program === undefined) return undefined;
  const name = config.name && config.name !== NAME ? config.name : `Lucet: ${basename(program)}`;
  return { ...config, type: 'lucet', request: 'launch', name, program };
}

/** When variables have been put in. */
function checkConfiguration(
  context: LucetContext,
  folder: vscode.WorkspaceFolder | undefined,
  config: vscode.DebugConfiguration,
): vscode.DebugConfiguration | undefined {
  const program: unknown = config.program;
  const cwd =
    config.cwd ?? folder?.uri.fsPath ?? (typeof program === 'string' ? dirname(program) : undefined);
  const here = (path: string): string => (isAbsolute(path) || !cwd ? path : join(cwd, path));
  if (typeof program === 'string' && !existsSync(here(program))) {
    void vscode.window.showErrorMessage(
      `Lucet: there is no program ${program}: build it first, or name another in the launch configuration.`,
    );
    return undefined;
  }
  const { sourceMap, disassemblySyntax, runEnv, runDirs } = context.settings(folder?.uri);
  let fromFile: Record<string, string> = {};
  if (typeof config.envFile === 'string') {
    try {
      fromFile = parseEnvFile(readFileSync(here(config.envFile), 'utf8'));
    } catch (e) {
      const why = e instanceof Error ? e.message : String(e);
      void vscode.window.showErrorMessage(`Lucet: "envFile" of ${config.name}: ${why}`);
      return undefined;
    }
  }
  if (typeof program === 'string') {
    context.traps.clear();
    if (/\.(?:wasm|wat)$/.test(program)) context.lastDebugged = here(program);
  }
  return {
    cwd,
    sourceMap,
    disassemblySyntax,
    dirs: runDirs,
    ...config,
    env: { ...runEnv, ...fromFile, ...config.env },
    // The settings' way of writing it, a string, is as good as a number.
    ...(config.optLevel === undefined ? {} : { optLevel: Number(config.optLevel) }),
  };
}

/** Watches a session: shows the report of a stop at a trap, and offers a folder to a program that had none. */
class SessionTracker implements vscode.DebugAdapterTracker {
  private lastWords = '';

  constructor(
    private readonly context: LucetContext,
    private readonly session: vscode.DebugSession,
  ) {}

  private trace(direction: string, message: unknown): void {
    if (this.session.configuration.trace === true)
      this.context.log.info(`${this.session.name} ${direction} ${JSON.stringify(message)}`);
  }

  onWillReceiveMessage(message: unknown): void {
    this.trace('<-', message);
  }

  onDidSendMessage(message: {
    type?: string;
    event?: string;
    body?: { reason?: string; threadId?: number; category?: string; output?: string; exitCode?: number };
  }): void {
    this.trace('->', message);
    const { body } = message;
    if (message.event === 'output' && body?.category !== 'console')
      this.lastWords = (this.lastWords + (body?.output ?? '')).slice(-LAST_WORDS);
    if (message.event === 'exited' && body?.exitCode !== 0 && saysRefused(this.lastWords))
      void this.offerFolder();
    if (message.type !== 'event' || message.event !== 'stopped' || message.body?.reason !== 'exception')
      return;
    void this.show(message.body.threadId ?? 1);
  }

  /** Programs may use no folder but those that they are granted, and what their libraries say of that helps nobody. */
  private async offerFolder(): Promise<void> {
    const { configuration, workspaceFolder } = this.session;
    const { cwd } = configuration;
    if (typeof cwd !== 'string') return;
    const choice = await vscode.window.showWarningMessage(
      `Lucet: ${basename(`${configuration.program}`)} was refused a file: it may only use folders that "dirs" of its launch configuration, or the setting lucet.run.dirs, grants it. Start it again with ${cwd}, for this once?`,
      'Grant This Folder',
    );
    if (choice) {
      const dirs = grantsOf(cwd, configuration.dirs);
      await vscode.debug.startDebugging(workspaceFolder, { ...configuration, dirs });
    }
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
      resolveDebugConfiguration: (_folder, config) => resolveConfiguration(context, config),
      resolveDebugConfigurationWithSubstitutedVariables: (folder, config) =>
        checkConfiguration(context, folder, config),
    }),
    vscode.debug.registerDebugConfigurationProvider(
      'lucet',
      {
        provideDebugConfigurations: () => [
          // Without a program: it is chosen when it is started.
          { type: 'lucet', request: 'launch', name: NAME },
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
      createDebugAdapterTracker: session => new SessionTracker(context, session),
    }),
  ];
}
