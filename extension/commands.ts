/** The commands `lucet.compile` and `lucet.run`. */
import * as vscode from 'vscode';
import { compileFile } from './compile.ts';
import { type LucetContext, requireTrust, targetFile } from './context.ts';

/** Progress is shown only for what takes longer than this. */
const PROGRESS_DELAY_MS = 500;

const outputPath = (input: string): string => `${input.replace(/\.(wasm|wat)$/, '')}.so`;

/** Run `work` with a cancellable notification once it takes long. */
async function withProgress<T>(title: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const result = work(controller.signal);
  const late = Symbol('late');
  const first = await Promise.race([
    result,
    new Promise<typeof late>(resolve => setTimeout(() => resolve(late), PROGRESS_DELAY_MS)),
  ]);
  if (first !== late) return first as T;
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    async (_progress, token) => {
      token.onCancellationRequested(() => controller.abort());
      return result;
    },
  );
}

/** @returns the path of the compiled module, or undefined when it failed (the reason has been shown) */
export async function compileCommand(context: LucetContext, uri?: vscode.Uri): Promise<string | undefined> {
  const file = targetFile(uri);
  if (!file || !/\.(wasm|wat)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage('Lucet: select a .wasm or .wat file to compile.');
    return undefined;
  }
  if (!requireTrust('compiling')) return undefined;
  context.diagnostics.delete(file);
  const input = file.fsPath;
  const output = outputPath(input);
  const outcome = await withProgress(`Lucet: compiling ${vscode.workspace.asRelativePath(file)}`, signal =>
    compileFile(process.execPath, context.tool('lucetc-wasi'), input, output, signal),
  );
  if (outcome.ok) {
    context.log.info(`compiled ${input} to ${output}`);
    return output;
  }
  if (outcome.cancelled) return undefined;
  const { message, offset } = outcome.failure;
  const text = offset === undefined ? message : `${message} (at offset 0x${offset.toString(16)})`;
  context.log.error(`${input}: ${text}`);
  const diagnostic = new vscode.Diagnostic(
    new vscode.Range(0, 0, 0, 0),
    text,
    vscode.DiagnosticSeverity.Error,
  );
  diagnostic.source = 'lucetc';
  context.diagnostics.set(file, [diagnostic]);
  void vscode.window.showErrorMessage(`Lucet: ${vscode.workspace.asRelativePath(file)}: ${text}`);
  return undefined;
}

/** Run a .wasm, .wat or .so in a terminal. */
export async function runCommand(context: LucetContext, uri?: vscode.Uri): Promise<void> {
  const file = targetFile(uri);
  if (!file || !/\.(wasm|wat|so)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage('Lucet: select a .wasm, .wat or .so file to run.');
    return;
  }
  if (!requireTrust('running')) return;
  const program = file.fsPath.endsWith('.so') ? file.fsPath : await compileCommand(context, file);
  if (program === undefined) return;
  const terminal = vscode.window.createTerminal({
    name: `lucet: ${vscode.workspace.asRelativePath(file)}`,
    shellPath: process.execPath,
    shellArgs: [context.tool('lucet-wasi'), program],
    env: { ELECTRON_RUN_AS_NODE: '1' },
  });
  terminal.show();
}
