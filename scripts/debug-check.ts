/**
 * Holds a debugger's view of a program against what the program says of itself.
 *
 * A source marks lines with `#BP name`; the statement there prints `#name`, and those behind it print
 * `expression=value`, a line each. V8 runs the module first: that is what is expected. Then it runs under the debug
 * adapter, with a breakpoint at each mark. At every stop each expression is evaluated, and looked up in the tree of
 * variables where it is a path; and each variable in scope has to be the root of one. `#BP name -a,b`: a and b, which
 * the program can't name there (docs/debugging.md lists them), need only be readable. What is shown in the tree, some
 * levels down, is what evaluating its path gives. Locals without a name are a compiler's own.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { WASI } from 'node:wasi';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';

export interface DebugProgram {
  /** Path of the module, or of a text. */
  readonly program: string;
  /** The same as binary, for V8. */
  readonly wasm: Uint8Array;
  /** Path of the source with the marks. */
  readonly source: string;
}

export interface CheckResult {
  readonly problems: readonly string[];
  readonly stops: number;
  /** Values compared. */
  readonly values: number;
}

interface Mark {
  readonly name: string;
  readonly line: number;
  readonly left: ReadonlySet<string>;
}

/** What a program printed at one pass of a mark. */
interface Block {
  readonly name: string;
  readonly values: readonly { readonly expression: string; readonly value: string }[];
}

function marksOf(text: string): Mark[] {
  return text.split('\n').flatMap((line, i) => {
    const m = /(?:\/\/|;;) #BP (\w+)(?: (\S+))?/.exec(line);
    if (m === null) return [];
    const left = (m[2] ?? '').split(',').map(name => name.replace(/^-/, ''));
    return [{ name: m[1]!, line: i + 1, left: new Set(left) }];
  });
}

function blocksOf(output: string): Block[] {
  const blocks: { name: string; values: { expression: string; value: string }[] }[] = [];
  for (const line of output.split('\n')) {
    if (line.startsWith('#')) blocks.push({ name: line.slice(1), values: [] });
    else if (line !== '') {
      // Expressions hold no single `=`.
      const at = line.search(/(?<![=!<>])=(?!=)/);
      blocks.at(-1)?.values.push({ expression: line.slice(0, at), value: line.slice(at + 1) });
    }
  }
  return blocks;
}

/** What the program prints when V8 runs it. */
async function expectedOutput(p: DebugProgram): Promise<string> {
  const file = join(dirname(p.program), 'expected.txt');
  const stdout = openSync(file, 'w');
  try {
    const wasi = new WASI({ version: 'preview1', args: [basename(p.program)], stdout, returnOnExit: true });
    const module = await WebAssembly.compile(Uint8Array.from(p.wasm));
    wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject() as WebAssembly.Imports));
  } finally {
    closeSync(stdout);
  }
  return readFileSync(file, 'utf8');
}

/** Names of types, counts of elements and addresses in front of what is pointed to are not part of a value. */
function plain(text: string): string {
  return text
    .replace(/^(?:0x[0-9a-f]+|\d+ →) (?=["([])/, '')
    .replace(/(^|[[( ])\(\d+\) (?=[[{"])/g, '$1')
    .replace(/\b[A-Za-z_][\w:]*(?= \{)/g, '')
    .replace(/\s+/g, '');
}

function same(text: string, printed: string, type: string): boolean {
  // A number that may be a pointer, too.
  const shown = /^["[]/.test(printed) ? text : text.replace(/^(\d+) → ["([].*$/s, '$1');
  if (plain(shown) === plain(printed)) return true;
  const number = /^[-+]?(?:\d|inf|nan)[\w.+-]*$/i;
  if (!number.test(shown) || !number.test(printed)) return false;
  const a = Number(shown);
  const b = Number(printed);
  if (!Object.is(a, -0) && /^-?\d+$/.test(shown) && /^-?\d+$/.test(printed))
    return BigInt(shown) === BigInt(printed);
  return Object.is(a, b) || (/^(?:const )?(?:float|f32)$/.test(type) && Math.fround(a) === Math.fround(b));
}

class Debugger {
  private readonly client: DebugClient;
  output = '';
  private readonly events: ('stopped' | 'exited')[] = [];
  private waiting: ((event: 'stopped' | 'exited') => void) | null = null;

  constructor(adapter: string) {
    this.client = new DebugClient('node', adapter, 'lucet', {}, true);
    this.client.defaultTimeout = 60_000;
    this.client.on('output', (e: DebugProtocol.OutputEvent) => {
      if (e.body.category === 'stdout') this.output += e.body.output;
    });
    for (const name of ['stopped', 'exited'] as const)
      this.client.on(name, () => {
        const { waiting } = this;
        this.waiting = null;
        if (waiting === null) this.events.push(name);
        else waiting(name);
      });
  }

  next(): Promise<'stopped' | 'exited'> {
    const event = this.events.shift();
    return event === undefined
      ? new Promise(resolve => {
          this.waiting = resolve;
        })
      : Promise.resolve(event);
  }

  async launch(p: DebugProgram, lines: readonly number[]): Promise<readonly DebugProtocol.Breakpoint[]> {
    await this.client.start();
    await this.client.initializeRequest();
    const initialized = this.client.waitForEvent('initialized');
    const launched = this.client.launchRequest({ program: p.program, cwd: dirname(p.program) } as never);
    await Promise.race([initialized, launched]);
    const { body } = await this.client.setBreakpointsRequest({
      source: { path: p.source },
      breakpoints: lines.map(line => ({ line })),
    });
    await this.client.configurationDoneRequest();
    await launched;
    return body.breakpoints;
  }

  async top(): Promise<DebugProtocol.StackFrame> {
    return (await this.client.stackTraceRequest({ threadId: 1, levels: 1 })).body.stackFrames[0]!;
  }

  /** Variables of the scopes that hold the source's own. */
  async scopes(
    frameId: number,
  ): Promise<{ locals: DebugProtocol.Variable[]; statics: DebugProtocol.Variable[] }> {
    const { scopes } = (await this.client.scopesRequest({ frameId })).body;
    const of = async (scope: DebugProtocol.Scope | undefined): Promise<DebugProtocol.Variable[]> =>
      scope === undefined ? [] : this.children(scope.variablesReference);
    return {
      locals: await of(scopes.find(s => s.presentationHint === 'locals')),
      statics: await of(scopes.find(s => s.name === 'Statics')),
    };
  }

  async children(variablesReference: number): Promise<DebugProtocol.Variable[]> {
    return (await this.client.variablesRequest({ variablesReference })).body.variables;
  }

  async evaluate(expression: string, frameId: number): Promise<{ result: string; type: string }> {
    try {
      const { body } = await this.client.evaluateRequest({ expression, frameId, context: 'watch' });
      return { result: body.result, type: body.type ?? '' };
    } catch (e) {
      return { result: `error: ${(e as Error).message}`, type: '' };
    }
  }

  async go(): Promise<void> {
    await this.client.continueRequest({ threadId: 1 });
  }

  stop(): Promise<void> {
    return this.client.stop();
  }
}

/** The variable that a path names, found by opening those on the way; null: nothing in the tree has this path. */
async function find(
  debug: Debugger,
  variables: readonly DebugProtocol.Variable[],
  path: string,
): Promise<DebugProtocol.Variable | null> {
  const plainPath = (p: string): string => p.replace(/^\((.*)\)$/, '$1').replace(/->/g, '.');
  const wanted = plainPath(path);
  let level = variables;
  for (let depth = 0; depth < 8; depth++) {
    const found = level.find(v => v.evaluateName !== undefined && plainPath(v.evaluateName) === wanted);
    if (found !== undefined) return found;
    const inside = level.find(v => {
      const name = plainPath(v.evaluateName ?? '');
      return name !== '' && wanted.startsWith(name) && /^[.[]/.test(wanted.slice(name.length));
    });
    if (inside === undefined || inside.variablesReference === 0) return null;
    level = await debug.children(inside.variablesReference);
  }
  return null;
}

/** Levels of the tree whose paths are evaluated, and variables of each. */
const PATH_LEVELS = 4;
const PATH_VARIABLES = 12;

/** What the tree of variables shows otherwise than its path evaluates to. */
async function contradictions(
  debug: Debugger,
  variables: readonly DebugProtocol.Variable[],
  frameId: number,
  level = 1,
): Promise<string[]> {
  const found: string[] = [];
  for (const v of variables.slice(0, PATH_VARIABLES)) {
    if (v.evaluateName === undefined) continue;
    const { result } = await debug.evaluate(v.evaluateName, frameId);
    if (result !== v.value) found.push(`${v.evaluateName} is ${result}, but shown as ${v.value}`);
    if (v.variablesReference !== 0 && level < PATH_LEVELS)
      found.push(
        ...(await contradictions(debug, await debug.children(v.variablesReference), frameId, level + 1)),
      );
  }
  return found;
}

/** @param adapter path of the built debug adapter */
export async function checkProgram(p: DebugProgram, adapter: string): Promise<CheckResult> {
  const problems: string[] = [];
  const marks = marksOf(readFileSync(p.source, 'utf8'));
  const expected = await expectedOutput(p);
  const blocks = blocksOf(expected);
  const debug = new Debugger(adapter);
  let stops = 0;
  let values = 0;
  try {
    const bound = await debug.launch(
      p,
      marks.map(m => m.line),
    );
    marks.forEach((m, i) => {
      if (!bound[i]?.verified || bound[i].line !== m.line)
        problems.push(`${m.name}: no breakpoint at line ${m.line}: ${bound[i]?.message ?? bound[i]?.line}`);
    });
    for (; (await debug.next()) === 'stopped' && stops <= blocks.length; stops++) {
      const frame = await debug.top();
      const mark = marks.find(m => m.line === frame.line);
      const block = blocks[stops];
      if (mark === undefined || block === undefined || mark.name !== block.name) {
        problems.push(
          `stop ${stops + 1} is at line ${frame.line} (${mark?.name}), the program comes to ${block?.name}`,
        );
        break;
      }
      const where = `${mark.name} (stop ${stops + 1})`;
      const { locals, statics } = await debug.scopes(frame.id);
      const roots = new Set(block.values.flatMap(v => v.expression.match(/[A-Za-z_$][\w$]*/g) ?? []));
      for (const { expression } of block.values) roots.add(expression);
      for (const { name, value } of locals) {
        if (mark.left.has(name) && /^<|^$/.test(value))
          problems.push(`${where}: ${name} can't be read: ${value}`);
        if (!roots.has(name) && !mark.left.has(name) && !/^\$l\d+$/.test(name))
          problems.push(`${where}: ${name} = ${value} is not checked`);
      }
      for (const name of mark.left)
        if (name !== '' && !locals.some(v => v.name === name))
          problems.push(`${where}: ${name} is in no scope`);
      for (const problem of await contradictions(debug, locals, frame.id))
        problems.push(`${where}: ${problem}`);
      for (const { expression, value } of block.values) {
        values++;
        const { result, type } = await debug.evaluate(expression, frame.id);
        if (!same(result, value, type)) problems.push(`${where}: ${expression} is ${result}, not ${value}`);
        const shown = await find(debug, [...locals, ...statics], expression);
        if (shown !== null && !same(shown.value, value, shown.type ?? ''))
          problems.push(`${where}: ${expression} is shown as ${shown.value}, not ${value}`);
        // A simple name has to be there, unless it is a member's, seen from within.
        if (shown === null && /^\w+$/.test(expression) && !locals.some(v => /^(?:this|self)$/.test(v.name)))
          problems.push(`${where}: ${expression} is in no scope`);
      }
      await debug.go();
    }
    if (stops !== blocks.length)
      problems.push(`${stops} stops, but the program passed ${blocks.length} marks`);
    else if (debug.output !== expected) problems.push('it printed something else when it was debugged');
  } catch (e) {
    problems.push((e as Error).message);
  } finally {
    await debug.stop();
  }
  return { problems, stops, values };
}

/** For tests: writes a program's files. */
export function writeProgram(dir: string, name: string, source: string, wasm: Uint8Array): DebugProgram {
  const program = join(dir, name.replace(/\.\w+$/, '.wasm'));
  writeFileSync(join(dir, name), source);
  writeFileSync(program, wasm);
  return { program, wasm, source: join(dir, name) };
}
