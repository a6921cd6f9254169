/**
 * Running programs: each is a task, so that it has a terminal that stays when the program has ended. The status item
 * tells what runs, and pauses or kills it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import * as vscode from 'vscode';
import { runArguments } from './command-line.ts';
import type { LucetContext } from './context.ts';

export interface RunOptions {
  readonly args: readonly string[];
  readonly invoke?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly dirs?: readonly (string | { host: string; guest?: string; readonly?: boolean })[];
  readonly cwd?: string;
}

interface Run {
  readonly name: string;
  readonly source: vscode.Uri;
  readonly options: RunOptions;
  readonly trapJson: string;
  /** null: it did not start. Known a little after the program runs. */
  readonly pid: Promise<number | null>;
  readonly started: (pid: number | null) => void;
  paused: boolean;
}

export class Runs implements vscode.Disposable {
  private readonly runs = new Set<Run>();
  /** Reports of traps: ours alone, gone with the session. */
  private readonly folder = mkdtempSync(join(tmpdir(), 'lucet-runs-'));
  private next = 1;
  private readonly status = vscode.window.createStatusBarItem(
    'lucet.status',
    vscode.StatusBarAlignment.Left,
    0,
  );
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly context: LucetContext) {
    this.status.name = 'Lucet';
    this.status.command = 'lucet.instance.menu';
    this.subscriptions = [
      this.status,
      vscode.tasks.onDidStartTaskProcess(e => {
        const run = this.of(e.execution);
        run?.started(e.processId);
      }),
      vscode.tasks.onDidEndTaskProcess(e => this.ended(e.execution, e.exitCode)),
      vscode.debug.onDidChangeActiveDebugSession(() => this.update()),
      vscode.debug.onDidTerminateDebugSession(() => this.update()),
    ];
  }

  /**
   * A run's task is known by its report's path: its process may start, and even end, before the editor hands out the
   * execution.
   */
  private of({ task }: vscode.TaskExecution): Run | undefined {
    const trapJson = reportOf(task);
    return [...this.runs].find(r => r.trapJson === trapJson);
  }

  /** The task that runs a program. */
  task(
    definition: vscode.TaskDefinition,
    scope: vscode.WorkspaceFolder | vscode.TaskScope,
    name: string,
    program: string,
    options: RunOptions & { readonly trapJson: string },
  ): vscode.Task {
    const { runEnv, runDirs } = this.context.settings(vscode.Uri.file(program));
    const args = runArguments({
      program,
      args: options.args,
      env: { ...runEnv, ...options.env },
      dirs: options.dirs ?? runDirs,
      trapJson: options.trapJson,
      coredump: coredumpOf(options.trapJson),
      ...(options.invoke === undefined ? {} : { invoke: options.invoke }),
    });
    const execution = new vscode.ProcessExecution(this.context.lucetWasi, args, {
      cwd: options.cwd ?? (typeof scope === 'object' ? scope.uri.fsPath : dirname(program)),
      env: this.context.processEnv,
    });
    const task = new vscode.Task(definition, scope, name, 'lucet', execution, []);
    task.presentationOptions = {
      reveal: vscode.TaskRevealKind.Always,
      panel: vscode.TaskPanelKind.Dedicated,
      // The terminal is the program's: our own options in front of what it prints help nobody.
      echo: false,
      showReuseMessage: false,
      clear: true,
    };
    return task;
  }

  /** Run a program in a terminal. Resolves when it has been started. */
  async start(source: vscode.Uri, program: string, options: RunOptions): Promise<void> {
    this.context.traps.clear();
    const name = `run ${basename(source.fsPath)}${options.invoke === undefined ? '' : ` ${options.invoke}`}`;
    const trapJson = this.newReport();
    const scope = vscode.workspace.getWorkspaceFolder(source) ?? vscode.TaskScope.Workspace;
    const definition = { type: 'lucet', action: 'run', source: source.fsPath };
    const task = this.task(definition, scope, name, program, { ...options, trapJson });
    let started: Run['started'] = () => {};
    const pid = new Promise<number | null>(resolve => {
      started = resolve;
    });
    const run: Run = { name, source, options, trapJson, pid, started, paused: false };
    this.runs.add(run);
    try {
      await vscode.tasks.executeTask(task);
    } catch (e) {
      started(null);
      this.runs.delete(run);
      throw e;
    } finally {
      this.update();
    }
  }

  newReport(): string {
    return join(this.folder, `trap-${this.next++}.json`);
  }

  private ended(execution: vscode.TaskExecution, exitCode: number | undefined): void {
    const run = this.of(execution);
    const trapJson = run?.trapJson ?? reportOf(execution.task);
    run?.started(null);
    if (run) this.runs.delete(run);
    this.update();
    if (trapJson === null) return;
    let text: string;
    try {
      text = readFileSync(trapJson, 'utf8');
    } catch {
      this.context.log.debug(`${execution.task.name} ended with status ${exitCode}`);
      return;
    }
    rmSync(trapJson, { force: true });
    void this.context.traps.add(
      text,
      run ? { source: run.source, options: run.options } : null,
      coredumpOf(trapJson),
    );
  }

  /** The program that the pause and kill commands mean: the only one that runs, or the user's choice. */
  private async choose(): Promise<Run | null> {
    const all = [...this.runs];
    if (all.length < 2) return all[0] ?? null;
    const picked = await vscode.window.showQuickPick(
      all.map(run => ({ label: run.name, description: run.paused ? 'paused' : 'running', run })),
      { title: 'Lucet: Which program?' },
    );
    return picked?.run ?? null;
  }

  async pause(): Promise<void> {
    if (vscode.debug.activeDebugSession?.type === 'lucet') {
      await vscode.commands.executeCommand('workbench.action.debug.pause');
      return;
    }
    const run = await this.choose();
    const pid = await run?.pid;
    if (!run || pid == null) return;
    // A program in an endless loop can't react to a request: the system stops it.
    process.kill(pid, run.paused ? 'SIGCONT' : 'SIGSTOP');
    run.paused = !run.paused;
    this.update();
  }

  async kill(): Promise<void> {
    if (vscode.debug.activeDebugSession?.type === 'lucet') {
      await vscode.debug.stopDebugging(vscode.debug.activeDebugSession);
      return;
    }
    const run = await this.choose();
    const pid = await run?.pid;
    if (pid != null) process.kill(pid, 'SIGKILL');
  }

  /** A click on the status item. */
  async menu(): Promise<void> {
    const paused = [...this.runs].some(r => r.paused);
    const picked = await vscode.window.showQuickPick([paused ? 'Resume' : 'Pause', 'Kill'], {
      title: 'Lucet: Running Program',
    });
    if (picked === 'Kill') await this.kill();
    else if (picked) await this.pause();
  }

  private update(): void {
    const session =
      vscode.debug.activeDebugSession?.type === 'lucet'
        ? vscode.debug.activeDebugSession.name.replace(/^Lucet: /, '')
        : null;
    const names = [...this.runs].map(r => r.name);
    if (session) names.push(session);
    void vscode.commands.executeCommand('setContext', 'lucet.running', names.length > 0);
    if (names.length === 0) {
      this.status.hide();
      return;
    }
    const paused = [...this.runs].some(r => r.paused);
    this.status.text = `${paused ? '$(debug-pause)' : '$(sync~spin)'} Lucet: ${names.length === 1 ? names[0] : `${names.length} programs`}`;
    this.status.tooltip = `${names.join('\n')}\nClick to pause or kill.`;
    this.status.show();
  }

  dispose(): void {
    for (const s of this.subscriptions) s.dispose();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The core dump that belongs to a report. */
function coredumpOf(trapJson: string): string {
  return trapJson.replace(/\.json$/, '.core');
}

/** The report's path of a task that tasks.json describes. */
function reportOf(task: vscode.Task): string | null {
  if (task.definition.type !== 'lucet' || !(task.execution instanceof vscode.ProcessExecution)) return null;
  const at = task.execution.args.indexOf('--trap-json');
  return at < 0 ? null : (task.execution.args[at + 1] ?? null);
}
