/** The task type `lucet`: compile a module, or run a program. */
import { isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';
import { compileArguments } from './command-line.ts';
import { artifactOf } from './commands.ts';
import type { LucetContext } from './context.ts';

interface LucetTask extends vscode.TaskDefinition {
  readonly action?: 'compile' | 'run';
  readonly source: string;
  readonly output?: string;
  readonly optLevel?: string;
  readonly debugInfo?: boolean;
  /** Of the compiler (action compile), or of the program. */
  readonly args?: readonly string[];
}

/** How many modules tasks are offered for; a workspace may have thousands. */
const MAX_OFFERED = 50;

export class LucetTasks implements vscode.TaskProvider {
  constructor(private readonly context: LucetContext) {}

  async provideTasks(): Promise<vscode.Task[]> {
    if (!vscode.workspace.isTrusted) return [];
    const files = await vscode.workspace.findFiles('**/*.{wasm,wat}', '**/node_modules/**', MAX_OFFERED);
    return files.flatMap(file => {
      const folder = vscode.workspace.getWorkspaceFolder(file);
      if (!folder) return [];
      const source = vscode.workspace.asRelativePath(file, false);
      return (['compile', 'run'] as const).map(action =>
        this.make({ type: 'lucet', action, source }, folder, `${action} ${source}`),
      );
    });
  }

  resolveTask(task: vscode.Task): vscode.Task | undefined {
    const definition = task.definition as LucetTask;
    if (typeof definition.source !== 'string' || !vscode.workspace.isTrusted) return undefined;
    const scope = typeof task.scope === 'object' ? task.scope : vscode.workspace.workspaceFolders?.[0];
    // The definition must stay the same object: that is how a task is recognised.
    return scope && this.make(definition, scope, task.name);
  }

  private make(definition: LucetTask, folder: vscode.WorkspaceFolder, name: string): vscode.Task {
    const at = (path: string) => (isAbsolute(path) ? path : join(folder.uri.fsPath, path));
    const input = at(definition.source.replace(/\$\{workspaceFolder\}/g, () => folder.uri.fsPath));
    const file = vscode.Uri.file(input);
    const settings = this.context.settings(file);
    if (definition.action === 'run') {
      return this.context.runs.task(definition, folder, name, input, {
        args: definition.args ?? [],
        trapJson: this.context.runs.newReport(),
      });
    }
    const args = compileArguments({
      input,
      output: definition.output === undefined ? artifactOf(this.context, file) : at(definition.output),
      optLevel: definition.optLevel ?? settings.optLevel,
      targetCpu: settings.targetCpu,
      debugInfo: definition.debugInfo ?? true,
      args: [...settings.compileArgs, ...(definition.args ?? [])],
    });
    const execution = new vscode.ProcessExecution(
      process.execPath,
      [this.context.script('lucetc-wasi'), ...args],
      { env: this.context.processEnv, cwd: folder.uri.fsPath },
    );
    const task = new vscode.Task(definition, folder, name, 'lucet', execution, ['$lucetc']);
    task.group = vscode.TaskGroup.Build;
    return task;
  }
}
