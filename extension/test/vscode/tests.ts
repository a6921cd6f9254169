/** Tests of the extension through VS Code's own interfaces. The workspace is scripts/vscode-host/workspace.ts's. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { guests } from './guests.ts';
import { until } from './until.ts';

const EXTENSION = 'lucet.lucet';

const folder = (): string => vscode.workspace.workspaceFolders![0]!.uri.fsPath;
const file = (name: string): vscode.Uri => vscode.Uri.file(join(folder(), name));
const lineOf = (name: string, marker: string): number =>
  readFileSync(file(name).fsPath, 'utf8')
    .split('\n')
    .findIndex(l => l.includes(marker));

const problems = (uri: vscode.Uri, source: string): vscode.Diagnostic[] =>
  vscode.languages.getDiagnostics(uri).filter(d => d.source === source);
const tabs = (): vscode.Tab[] => vscode.window.tabGroups.all.flatMap(g => g.tabs);
const openWat = (name: string): Thenable<vscode.TextEditor> => vscode.window.showTextDocument(file(name));
const at = (document: vscode.TextDocument, needle: string, within = 0): vscode.Position =>
  document.positionAt(document.getText().indexOf(needle) + within);

const running = (name: string) => guests(join(folder(), name));
/** With its exit code, the next time that a task of that name ends. */
const taskEnded = (name: string) =>
  new Promise<number | undefined>(resolve => {
    const listener = vscode.tasks.onDidEndTaskProcess(e => {
      if (e.execution.task.name !== name) return;
      listener.dispose();
      resolve(e.exitCode);
    });
  });

/** What a debugged program prints, from its start to its end. */
async function printed(start: () => Thenable<unknown>): Promise<string> {
  let output = '';
  const tracker = vscode.debug.registerDebugAdapterTrackerFactory('lucet', {
    createDebugAdapterTracker: () => ({
      onDidSendMessage: (m: { event?: string; body?: { output?: string } }) => {
        if (m.event === 'output') output += m.body?.output ?? '';
      },
    }),
  });
  let hasEnded = false;
  const listener = vscode.debug.onDidTerminateDebugSession(() => {
    hasEnded = true;
  });
  try {
    await start();
    await until('the end of the session', () => hasEnded);
    return output;
  } finally {
    tracker.dispose();
    listener.dispose();
  }
}

export function defineTests(): void {
  describe('Lucet', () => {
    before(async () => {
      await vscode.extensions.getExtension(EXTENSION)!.activate();
    });
    afterEach(async () => {
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    });

    it('registers every command that it contributes', async () => {
      const { packageJSON } = vscode.extensions.getExtension(EXTENSION)!;
      const known = new Set(await vscode.commands.getCommands(true));
      const contributed: string[] = packageJSON.contributes.commands.map(
        (c: { command: string }) => c.command,
      );
      assert.deepEqual(
        contributed.filter(c => !known.has(c)),
        [],
      );
    });

    it('compiles a module', async () => {
      rmSync(file('hello.so').fsPath, { force: true });
      await vscode.commands.executeCommand('lucet.compile', file('hello.wasm'));
      assert.ok(existsSync(file('hello.so').fsPath));
    });

    it('compiles all modules that are selected', async () => {
      for (const name of ['counter.so', 'step.so']) rmSync(file(name).fsPath, { force: true });
      const selected = [file('counter.wat'), file('step.wasm')];
      await vscode.commands.executeCommand('lucet.compile', selected[0], selected);
      for (const name of ['counter.so', 'step.so']) assert.ok(existsSync(file(name).fsPath));
    });

    it('puts a compiler error where it is, and takes it away when it is mended', async () => {
      await vscode.commands.executeCommand('lucet.compile', file('broken.wat'));
      const [problem] = problems(file('broken.wat'), 'lucetc');
      assert.ok(problem);
      assert.equal(problem.range.start.line, 3);
      assert.match(problem.message, /type mismatch/);
      const text = readFileSync(file('broken.wat').fsPath);
      try {
        await vscode.workspace.fs.writeFile(
          file('broken.wat'),
          Buffer.from(text.toString().replace('f64.const', 'i32.const')),
        );
        await vscode.commands.executeCommand('lucet.compile', file('broken.wat'));
        await until('no problem', () => problems(file('broken.wat'), 'lucetc').length === 0);
      } finally {
        await vscode.workspace.fs.writeFile(file('broken.wat'), text);
      }
    });

    it('squiggles an error in an open .wat', async () => {
      await openWat('broken.wat');
      const [problem] = await until('a diagnostic', () => {
        const found = problems(file('broken.wat'), 'lucetc');
        return found.length > 0 && found;
      });
      assert.equal(problem!.range.start.line, 3);
      assert.equal(problem!.range.start.character, 5);
    });

    it('knows names in a .wat: hover, definition, references, outline, rename, folding, lenses', async () => {
      const { document } = await openWat('counter.wat');
      const call = at(document, 'call $bump', 6);
      const execute = <T>(command: string, ...args: unknown[]) =>
        vscode.commands.executeCommand<T>(command, document.uri, ...args);
      const hovers = await until('a hover', async () => {
        const h = await execute<vscode.Hover[]>('vscode.executeHoverProvider', call);
        return h.length > 0 && h;
      });
      const text = hovers.flatMap(h => h.contents.map(c => (typeof c === 'string' ? c : c.value))).join('\n');
      assert.match(text, /\(func \$bump \(param \$at i32\) \(result i32\)\)/);
      assert.match(text, /bytes of native code/);
      const [definition] = await execute<(vscode.Location & vscode.LocationLink)[]>(
        'vscode.executeDefinitionProvider',
        call,
      );
      assert.equal(
        (definition!.range ?? definition!.targetRange).start.line,
        lineOf('counter.wat', '(func $bump'),
      );
      const references = await execute<vscode.Location[]>('vscode.executeReferenceProvider', call);
      assert.equal(references.length, 4);
      const symbols = await execute<vscode.DocumentSymbol[]>('vscode.executeDocumentSymbolProvider');
      assert.deepEqual(
        symbols.map(s => s.name),
        ['memory', '$steps', '$bump', 'count', 'trap'],
      );
      const edit = await execute<vscode.WorkspaceEdit>('vscode.executeDocumentRenameProvider', call, '$step');
      assert.equal(edit.get(document.uri).length, 4);
      const lenses = await execute<vscode.CodeLens[]>('vscode.executeCodeLensProvider');
      assert.deepEqual(
        lenses.map(l => l.command?.title),
        ['Run', 'Debug', 'Run', 'Debug'],
      );
      const tokens = await execute<vscode.SemanticTokens>('vscode.provideDocumentSemanticTokens');
      assert.ok(tokens.data.length > 100);
      const completions = await execute<vscode.CompletionList>('vscode.executeCompletionItemProvider', call);
      assert.ok(completions.items.some(i => i.label === '$bump'));
    });

    it('shows a trap on its line, with the frames, and opens the inspector', async () => {
      await vscode.commands.executeCommand('lucet.run', file('trap.wasm'));
      const [problem] = await until('a trap', () => {
        const found = problems(file('trap.c'), 'lucet');
        return found.length > 0 && found;
      });
      assert.equal(problem!.range.start.line, lineOf('trap.c', 'return t->cells[i]'));
      assert.match(problem!.message, /out of bounds memory access \(HeapOutOfBounds\)/);
      const related = problem!.relatedInformation!.map(r => [r.message, r.location.range.start.line]);
      assert.deepEqual(related[0], ['sum', lineOf('trap.c', 's += read_cell')]);
      await until('the inspector', () => tabs().some(t => t.label === 'Trap: HeapOutOfBounds'));
      await vscode.window.showTextDocument(file('trap.c'));
      const actions = await vscode.commands.executeCommand<vscode.CodeAction[]>(
        'vscode.executeCodeActionProvider',
        file('trap.c'),
        problem!.range,
      );
      assert.ok(actions.some(a => a.title === 'Open Trap Inspector'));
    });

    it('shows a trap in a .wat on its line', async () => {
      await vscode.commands.executeCommand('lucet.run', file('counter.wat'), { invoke: 'trap', params: [] });
      const [problem] = await until('a trap', () => {
        const found = problems(file('counter.wat'), 'lucet');
        return found.length > 0 && found;
      });
      assert.equal(problem!.range.start.line, lineOf('counter.wat', '(i32.store (local.get $at)'));
    });

    it('forgets a trap at the next run', async () => {
      const ended = taskEnded('run hello.wasm');
      await vscode.commands.executeCommand('lucet.run', file('hello.wasm'));
      await until('no trap', () => problems(file('trap.c'), 'lucet').length === 0);
      // As long as it runs, others can't be paused without the question which one is meant.
      assert.equal(await ended, 0);
    });

    it('pauses and kills a program that never ends', async () => {
      await vscode.commands.executeCommand('lucet.run', file('spin.wasm'));
      await until('it runs', () => running('spin').some(g => g.state === 'R'));
      await vscode.commands.executeCommand('lucet.instance.pause');
      await until('it is paused', () => running('spin').every(g => g.state === 'T'));
      await vscode.commands.executeCommand('lucet.instance.pause');
      await until('it runs again', () => running('spin').some(g => g.state === 'R'));
      await vscode.commands.executeCommand('lucet.instance.kill');
      await until('it is gone', () => running('spin').length === 0);
    });

    it('offers tasks, and runs them', async () => {
      const tasks = await vscode.tasks.fetchTasks({ type: 'lucet' });
      const compile = tasks.find(t => t.name === 'compile counter.wat');
      assert.ok(compile);
      rmSync(file('counter.so').fsPath, { force: true });
      const ended = taskEnded(compile.name);
      await vscode.tasks.executeTask(compile);
      assert.equal(await ended, 0);
      assert.ok(existsSync(file('counter.so').fsPath));
    });

    it('debugs without a launch.json, and passes on what is printed', async () => {
      assert.match(
        await printed(() => vscode.commands.executeCommand('lucet.debug', file('hello.wasm'))),
        /Hello, world!/,
      );
    });

    it('debugs an exported function, with its arguments as numbers', async () => {
      assert.match(
        await printed(() =>
          vscode.commands.executeCommand('lucet.debug', file('counter.wat'), { invoke: 'count', params: [] }),
        ),
        /^2$/m,
      );
    });

    it('debugs the module beside a source file', async () => {
      await vscode.window.showTextDocument(file('step.c'));
      const what = { type: 'lucet', request: 'launch', name: '' };
      assert.match(
        await printed(() => vscode.debug.startDebugging(vscode.workspace.workspaceFolders![0], what)),
        /sum 18/,
      );
    });

    it('shows a trap in a debugged program on its line, and feeds the inspector', async () => {
      await vscode.commands.executeCommand('lucet.debug', file('trap.wasm'));
      const session = await until('a session', () => vscode.debug.activeDebugSession);
      const [problem] = await until('a trap', () => {
        const found = problems(file('trap.c'), 'lucet');
        return found.length > 0 && found;
      });
      assert.equal(problem!.range.start.line, lineOf('trap.c', 'return t->cells[i]'));
      assert.deepEqual(
        problem!.relatedInformation!.slice(0, 2).map(r => r.message),
        ['sum', 'report'],
      );
      await until('the inspector', () => tabs().some(t => t.label === 'Trap: HeapOutOfBounds'));
      await vscode.debug.stopDebugging(session);
      await until('the end', () => !vscode.debug.activeDebugSession);
    });

    it('gives a debugged program a terminal to read from', async () => {
      // Exits with the number of bytes that it has read.
      const program = file('reads.wat');
      await vscode.workspace.fs.writeFile(
        program,
        Buffer.from(`(module
          (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start")
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100))
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
            (call $exit (i32.load (i32.const 16)))))`),
      );
      let status: number | undefined;
      const tracker = vscode.debug.registerDebugAdapterTrackerFactory('lucet', {
        createDebugAdapterTracker: () => ({
          onDidSendMessage: (m: { event?: string; body?: { exitCode?: number } }) => {
            if (m.event === 'exited') status = m.body?.exitCode;
          },
        }),
      });
      await vscode.debug.startDebugging(vscode.workspace.workspaceFolders![0], {
        type: 'lucet',
        request: 'launch',
        name: 'reads',
        program: program.fsPath,
        console: 'integratedTerminal',
      });
      const terminal = await until('the terminal', () =>
        vscode.window.terminals.find(t => t.name.includes('reads.wat')),
      );
      terminal.sendText('typed');
      await until('the end', () => status !== undefined && !vscode.debug.activeDebugSession);
      tracker.dispose();
      assert.equal(status, 'typed\n'.length);
      terminal.dispose();
    });

    it('shows a module in the inspector and as text', async () => {
      await vscode.commands.executeCommand('lucet.inspectModule', file('trap.wasm'));
      await until('the inspector', () =>
        tabs().some(
          t => t.input instanceof vscode.TabInputCustom && t.input.viewType === 'lucet.moduleInspector',
        ),
      );
      await vscode.commands.executeCommand('lucet.showWat', file('trap.wasm'));
      const text = await until('the text', () => {
        const document = vscode.window.activeTextEditor?.document;
        return document?.uri.scheme === 'lucet-wat' && document.getText();
      });
      assert.match(text, /\(func \$read_cell/);
      await vscode.commands.executeCommand('lucet.showNativeDisassembly', file('trap.wasm'));
      await until('the disassembly', () =>
        vscode.window.activeTextEditor?.document.getText().includes('<read_cell>'),
      );
    });

    it('survives modules that are no modules', async () => {
      const bad = file('bad.wasm');
      await vscode.workspace.fs.writeFile(bad, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 99));
      await vscode.commands.executeCommand('lucet.compile', bad);
      assert.match(problems(bad, 'lucetc')[0]!.message, /at offset 0x/);
      await vscode.commands.executeCommand('lucet.inspectModule', bad);
    });
  });
}
