/** Compiling, running and looking at modules. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { type CompileRequest, compileArguments, outputPath, requestOf } from './command-line.ts';
import { type CompileFailure, compileFile, type Tool } from './compile.ts';
import { type LucetContext, requireTrust, targetFile } from './context.ts';
import { withProgress } from './progress.ts';

const relative = (uri: vscode.Uri): string => vscode.workspace.asRelativePath(uri);

function failureDiagnostic(failure: CompileFailure): vscode.Diagnostic {
  const { line, column, endLine, endColumn, offset } = failure;
  const range =
    line === undefined || column === undefined
      ? new vscode.Range(0, 0, 0, 0)
      : new vscode.Range(line - 1, column - 1, (endLine ?? line) - 1, (endColumn ?? column) - 1);
  const diagnostic = new vscode.Diagnostic(
    range,
    line === undefined && offset !== undefined
      ? `${failure.message} (at offset 0x${offset.toString(16)})`
      : failure.message,
    vscode.DiagnosticSeverity.Error,
  );
  diagnostic.source = 'lucetc';
  return diagnostic;
}

/** Run a compiler on a file, and show its errors. */
async function runCompiler(
  context: LucetContext,
  file: vscode.Uri,
  tool: Tool,
  output: string,
): Promise<boolean> {
  context.diagnostics.delete(file);
  mkdirSync(dirname(output), { recursive: true });
  context.log.debug(`${tool.command} ${tool.args.join(' ')}`);
  const outcome = await withProgress(`Lucet: compiling ${relative(file)}`, signal =>
    compileFile(tool, output, signal),
  );
  if (outcome.ok) {
    context.log.info(`compiled ${file.fsPath} to ${output}`);
    return true;
  }
  if (outcome.cancelled) return false;
  const diagnostic = failureDiagnostic(outcome.failure);
  context.log.error(`${file.fsPath}: ${diagnostic.message}`);
  context.diagnostics.set(file, [diagnostic]);
  const choice = vscode.window.showErrorMessage(
    `Lucet: ${relative(file)}: ${firstLine(diagnostic.message)}`,
    'Show',
  );
  void choice.then(c => {
    if (c) void vscode.commands.executeCommand('vscode.open', file, { selection: diagnostic.range });
  });
  return false;
}

const firstLine = (text: string): string => text.split('\n', 1)[0]!;

export function artifactOf(context: LucetContext, file: vscode.Uri): string {
  const folder = vscode.workspace.getWorkspaceFolder(file)?.uri.fsPath;
  return outputPath(file.fsPath, context.settings(file).outputDirectory, folder);
}

/** C: with the clang of the settings, to a .wasm beside it. */
async function compileC(context: LucetContext, file: vscode.Uri): Promise<string | undefined> {
  const { clang } = context.settings(file);
  if (clang === '') {
    const choice = await vscode.window.showErrorMessage(
      'Lucet: to build C, name a clang that can build for WASI (wasi-sdk has one) in the settings.',
      'Open Settings',
    );
    if (choice) void vscode.commands.executeCommand('workbench.action.openSettings', 'lucet.toolchain.clang');
    return undefined;
  }
  const output = file.fsPath.replace(/\.[^.]*$/, '.wasm');
  const args = ['--target=wasm32-wasip1', '-g', '-O1', file.fsPath, '-o', output];
  return (await runCompiler(context, file, { command: clang, args, env: {} }, output)) ? output : undefined;
}

/** @returns the artifact's path, or undefined when it failed (the reason has been shown) */
async function compileModule(
  context: LucetContext,
  file: vscode.Uri,
  change: (request: CompileRequest) => CompileRequest = r => r,
): Promise<string | undefined> {
  const output = artifactOf(context, file);
  const request = change(requestOf(context.settings(file), file.fsPath, output));
  const args = [context.script('lucetc-wasi'), '--error-style', 'json', ...compileArguments(request)];
  const tool = { command: process.execPath, args, env: context.processEnv };
  if (!(await runCompiler(context, file, tool, output))) return undefined;
  context.sources.set(output, file.fsPath);
  return output;
}

/** The command `lucet.compile`. */
async function compileCommand(
  context: LucetContext,
  uri?: vscode.Uri,
  change?: (request: CompileRequest) => CompileRequest,
): Promise<string | undefined> {
  const file = targetFile(uri);
  if (!file || !/\.(?:wasm|wat|c)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage('Lucet: select a .wasm or .wat file to compile.');
    return undefined;
  }
  if (!requireTrust('compiling')) return undefined;
  const document = vscode.workspace.textDocuments.find(d => d.uri.toString() === file.toString());
  if (document?.isDirty) await document.save();
  if (file.fsPath.endsWith('.c')) return compileC(context, file);
  const output = await compileModule(context, file, change);
  if (output !== undefined)
    vscode.window.setStatusBarMessage(`$(check) Lucet: ${relative(vscode.Uri.file(output))}`, 5000);
  return output;
}

/** The command as the explorer calls it: on the file that was clicked, with all that are selected. */
export async function compileAll(
  context: LucetContext,
  uri: vscode.Uri | undefined,
  selected: unknown,
): Promise<string | undefined> {
  const others = (Array.isArray(selected) ? selected : []).filter(
    (u): u is vscode.Uri =>
      u instanceof vscode.Uri && u.toString() !== uri?.toString() && /\.(?:wasm|wat|c)$/.test(u.fsPath),
  );
  const first = await compileCommand(context, uri);
  for (const other of others) await compileCommand(context, other);
  return first;
}

/** Compile unless the artifact is newer than its source and was made with today's settings. */
async function compileIfStale(context: LucetContext, file: vscode.Uri): Promise<string | undefined> {
  const output = artifactOf(context, file);
  // An artifact of unknown origin may be of another version or for other options: only our own is trusted to be fresh.
  const ours = context.sources.get(output) === file.fsPath;
  if (ours && existsSync(output) && statSync(output).mtimeMs >= statSync(file.fsPath).mtimeMs) return output;
  return compileCommand(context, file);
}

interface OptionItem extends vscode.QuickPickItem {
  readonly change: (request: CompileRequest) => CompileRequest;
}

/** The command `lucet.compileWith`: choose options for this once. */
export async function compileWithCommand(context: LucetContext, uri?: vscode.Uri): Promise<void> {
  const file = targetFile(uri);
  const levels: (vscode.QuickPickItem & { level: string })[] = [
    { label: 'Optimised', description: '--opt-level 2', level: '2' },
    { label: 'Lightly optimised', description: '--opt-level 1', level: '1' },
    { label: 'Not optimised', description: '--opt-level 0', level: '0' },
  ];
  const level = await vscode.window.showQuickPick(levels, { title: 'Lucet: Optimisation' });
  if (!level) return;
  const options: OptionItem[] = [
    {
      label: 'Without debug information',
      description: '--strip-debug',
      change: r => ({ ...r, debugInfo: false }),
    },
    {
      label: 'For any x86-64',
      description: '--target-cpu baseline',
      change: r => ({ ...r, targetCpu: 'baseline' }),
    },
    {
      label: 'Check the compiler',
      description: '--verify',
      change: r => ({ ...r, args: [...r.args, '--verify'] }),
    },
  ];
  const chosen = await vscode.window.showQuickPick(options, { title: 'Lucet: Options', canPickMany: true });
  if (!chosen) return;
  await compileCommand(context, file, request =>
    chosen.reduce((r, option) => option.change(r), { ...request, optLevel: level.level }),
  );
}

/** How an exported function is called, from a CodeLens: its name and the types of its parameters. */
export interface Invocation {
  readonly invoke: string;
  readonly params: readonly string[];
}

/** Ask for a function's arguments; undefined: given up. */
async function askArguments({ invoke, params }: Invocation): Promise<string[] | undefined> {
  if (params.length === 0) return [];
  const text = await vscode.window.showInputBox({
    title: `Lucet: Arguments of ${invoke}`,
    prompt: `${params.length} separated by spaces: ${params.join(' ')}`,
    value: params.map(() => '0').join(' '),
    validateInput: v =>
      v.trim().split(/\s+/).length === params.length ? null : `${params.length} are expected`,
  });
  return text?.trim().split(/\s+/);
}

/** The command `lucet.run`: in a terminal. */
export async function runCommand(
  context: LucetContext,
  uri?: vscode.Uri | string,
  invocation?: Partial<Invocation>,
): Promise<void> {
  const file = targetFile(uri);
  if (!file || !/\.(?:wasm|wat|so)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage('Lucet: select a .wasm, .wat or .so file to run.');
    return;
  }
  if (!requireTrust('running')) return;
  // From the explorer the second argument is the list of selected files.
  const invoke = typeof invocation?.invoke === 'string' ? (invocation as Invocation) : null;
  const args = invoke ? await askArguments(invoke) : [];
  if (args === undefined) return;
  const program = file.fsPath.endsWith('.so') ? file.fsPath : await compileIfStale(context, file);
  if (program === undefined) return;
  await context.runs.start(file, program, { args, ...(invoke ? { invoke: invoke.invoke } : {}) });
}

/** The command `lucet.debug`. */
export async function debugCommand(
  _context: LucetContext,
  uri?: vscode.Uri | string,
  invocation?: Partial<Invocation>,
): Promise<void> {
  const file = targetFile(uri);
  if (!file || !/\.(?:wasm|wat|so)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage('Lucet: select a .wasm, .wat or .so file to debug.');
    return;
  }
  if (!requireTrust('debugging')) return;
  const invoke = typeof invocation?.invoke === 'string' ? (invocation as Invocation) : null;
  const args = invoke ? await askArguments(invoke) : [];
  if (args === undefined) return;
  await vscode.debug.startDebugging(vscode.workspace.getWorkspaceFolder(file), {
    type: 'lucet',
    request: 'launch',
    name: `Lucet: ${relative(file)}`,
    program: file.fsPath,
    ...(invoke ? { invoke: invoke.invoke } : {}),
    ...(args.length > 0 ? { args } : {}),
  });
}

/** The command `lucet.inspectModule`. */
export async function inspectCommand(_context: LucetContext, uri?: vscode.Uri): Promise<void> {
  const file = targetFile(uri);
  if (!file || !/\.(?:wasm|wat)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage('Lucet: select a .wasm or .wat file to inspect.');
    return;
  }
  await vscode.commands.executeCommand('vscode.openWith', file, 'lucet.moduleInspector');
}
