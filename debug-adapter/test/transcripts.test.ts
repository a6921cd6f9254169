/**
 * Debug sessions on real programs, word for word: support/transcript.ts has the form, transcripts/ what is expected.
 * BLESS=1 writes what comes out as what is expected; look at the difference before you keep it.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { buildProgram } from '../../scripts/debug-build.ts';
import { writeProgram } from '../../scripts/debug-check.ts';
import { AdapterServer } from './support/adapter-server.ts';
import { Transcript } from './support/transcript.ts';

const GOLDEN = join(import.meta.dirname, 'transcripts');
const bless = process.env.BLESS === '1';

const TRAP = `#include <stdio.h>
struct item { int id; const char *name; };
static int read_item(const struct item *items, int i) {
  return items[i].id; // HERE
}
int main(void) {
  struct item items[2] = {{1, "one"}, {2, "two"}};
  puts("reading");
  return read_item(items, 0x01000000);
}
`;
const SPIN = 'int main(void) { for (volatile unsigned i = 0;; i++); }\n';

let dir = '';
let adapter: AdapterServer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-transcripts-'));
  adapter = await AdapterServer.start();
});
afterAll(async () => {
  await adapter.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Session {
  readonly name: string;
  /** A program of scripts/debug-programs, or C. */
  readonly program: string | { readonly c: string };
  readonly run: (
    t: Transcript,
    program: string,
    source: string,
    line: (mark: string) => number,
  ) => Promise<void>;
}

const thread = { threadId: 1 };
const frame = async (t: Transcript): Promise<number> =>
  (await t.request<DebugProtocol.StackTraceResponse['body']>('stackTrace', { ...thread, levels: 1 }, false))
    .stackFrames[0]!.id;

/** Top frame, and its locals, opened `depth` levels deep. */
async function look(t: Transcript, depth = 1): Promise<number> {
  await t.request('stackTrace', thread);
  const frameId = await frame(t);
  const { scopes } = await t.request<DebugProtocol.ScopesResponse['body']>('scopes', { frameId });
  const open = async (variablesReference: number, left: number): Promise<void> => {
    const { variables } = await t.request<DebugProtocol.VariablesResponse['body']>('variables', {
      variablesReference,
    });
    if (left > 1)
      for (const v of variables) if (v.variablesReference > 0) await open(v.variablesReference, left - 1);
  };
  await open(scopes[0]!.variablesReference, depth);
  return frameId;
}

async function stopThen(t: Transcript, command: string, more: object = {}): Promise<void> {
  await t.request(command, { ...thread, ...more });
  await t.until('stopped');
}

async function toTheEnd(t: Transcript, path: string): Promise<void> {
  t.note('without breakpoints to the end');
  await t.request('setBreakpoints', { source: { path }, breakpoints: [] });
  await t.request('continue', thread);
  await t.until('terminated');
}

const SESSIONS: readonly Session[] = [
  {
    name: 'c-variables',
    program: 'records.c',
    run: async (t, program, path, line) => {
      await t.launch({ program, cwd: dir }, [{ path, at: [{ line: line('main') }] }]);
      await t.until('stopped');
      await look(t, 3);
      await toTheEnd(t, path);
    },
  },
  {
    name: 'c-stepping',
    program: 'lists.c',
    run: async (t, program, path, line) => {
      await t.launch({ program, cwd: dir, stopOnEntry: true }, [{ path, at: [{ line: line('insert') }] }]);
      await t.until('stopped');
      await look(t);
      t.note('steps');
      await stopThen(t, 'next');
      await stopThen(t, 'continue');
      await stopThen(t, 'next');
      await stopThen(t, 'stepOut');
      await look(t);
      await stopThen(t, 'stepIn');
      await look(t);
      await toTheEnd(t, path);
    },
  },
  {
    name: 'c-evaluate-and-set',
    program: 'lists.c',
    run: async (t, program, path, line) => {
      await t.launch({ program, cwd: dir }, [{ path, at: [{ line: line('main') }] }]);
      await t.until('stopped');
      const frameId = await look(t);
      for (const expression of [
        'list->next->value * 2',
        '*list',
        '(**ppp)->value',
        '&numbers[1]',
        'sizeof',
        'nothing',
        'list->none',
      ])
        await t.request('evaluate', { expression, frameId, context: 'watch' });
      await t.request('setExpression', { expression: 'list->value', value: '1234', frameId });
      await t.request('evaluate', { expression: '*list', frameId, context: 'hover' });
      const { scopes } = await t.request<DebugProtocol.ScopesResponse['body']>('scopes', { frameId }, false);
      await t.request('setVariable', {
        variablesReference: scopes[0]!.variablesReference,
        name: 'total',
        value: '-1',
      });
      await t.request('setVariable', {
        variablesReference: scopes[0]!.variablesReference,
        name: 'total',
        value: 'x y',
      });
      await toTheEnd(t, path);
    },
  },
  {
    name: 'c-trap',
    program: { c: TRAP },
    run: async (t, program, path) => {
      await t.launch({ program, cwd: dir }, [{ path, at: [] }]);
      await t.until('stopped');
      await t.request('exceptionInfo', thread);
      const frameId = await look(t);
      await t.request('evaluate', { expression: 'items[0]', frameId, context: 'watch' });
      await t.request('continue', thread);
      await t.until('terminated');
    },
  },
  {
    name: 'c-pause-and-terminate',
    program: { c: SPIN },
    run: async (t, program, path) => {
      await t.launch({ program, cwd: dir }, [{ path, at: [] }]);
      await t.request('threads');
      await stopThen(t, 'pause');
      await t.request('terminate');
      await t.until('terminated');
    },
  },
  {
    name: 'cpp-objects',
    program: 'classes.cpp',
    run: async (t, program, path, line) => {
      const first =
        readFileSync(path, 'utf8')
          .split('\n')
          .findIndex(l => l.includes('// #BP')) + 1;
      await t.launch({ program, cwd: dir }, [{ path, at: [{ line: first }, { line: line('main') }] }]);
      await t.until('stopped');
      const frameId = await look(t, 2);
      await t.request('evaluate', { expression: '*this', frameId, context: 'hover' });
      await toTheEnd(t, path);
    },
  },
  {
    name: 'assemblyscript',
    program: 'words.ts',
    run: async (t, program, path, line) => {
      await t.launch({ program, cwd: dir }, [{ path, at: [{ line: line('longer'), condition: 'i == 1' }] }]);
      await t.until('stopped');
      const frameId = await look(t);
      for (const expression of ['result', 'i + 1', 'nothing'])
        await t.request('evaluate', { expression, frameId, context: 'watch' });
      await t.request('breakpointLocations', { source: { path }, line: line('said') });
      await toTheEnd(t, path);
    },
  },
  {
    name: 'wat-breakpoints',
    program: 'gcd.wat',
    run: async (t, program, path, line) => {
      await t.launch({ program, cwd: dir }, [
        {
          path,
          at: [
            { line: line('step'), logMessage: '{$a} and {$b}', hitCondition: '> 1' },
            { line: line('main') },
            { line: 10_000 },
          ],
        },
      ]);
      await t.until('stopped');
      const frameId = await look(t);
      await t.request('setExpression', { expression: '$first', value: '-3', frameId });
      await t.request('evaluate', { expression: '$first * 2', frameId, context: 'watch' });
      await t.request('setFunctionBreakpoints', { breakpoints: [{ name: 'show' }, { name: 'nowhere' }] });
      await stopThen(t, 'continue');
      await look(t);
      await stopThen(t, 'stepIn', { granularity: 'instruction' });
      await t.request('setFunctionBreakpoints', { breakpoints: [] });
      await toTheEnd(t, path);
    },
  },
  {
    name: 'memory-and-instructions',
    program: 'floats.wat',
    run: async (t, program, path, line) => {
      await t.launch({ program, cwd: dir }, [{ path, at: [{ line: line('down') }] }]);
      await t.until('stopped');
      const frameId = await look(t);
      await t.request('readMemory', { memoryReference: '0x400', count: 32 });
      await t.request('writeMemory', {
        memoryReference: '0x401',
        data: Buffer.from('gone').toString('base64'),
      });
      await t.request('readMemory', { memoryReference: '0x400', offset: 1, count: 4 });
      await t.request('readMemory', { memoryReference: '0xfffffff0', count: 64 });
      await t.request('evaluate', { expression: '$mem32[0x400]', frameId, context: 'repl' });
      const { stackFrames } = await t.request<DebugProtocol.StackTraceResponse['body']>(
        'stackTrace',
        thread,
        false,
      );
      await t.request('disassemble', {
        memoryReference: stackFrames[0]!.instructionPointerReference,
        instructionCount: 8,
      });
      await t.request('loadedSources');
      await toTheEnd(t, path);
    },
  },
  {
    name: 'no-such-program',
    program: 'gcd.wat',
    run: async (t, program) => {
      await t.launch({ program: `${program}.none.wasm`, cwd: dir }, []);
    },
  },
];

test.each(SESSIONS)(
  '$name',
  async ({ name, program, run }) => {
    const built =
      typeof program === 'string'
        ? await buildProgram(program, dir)
        : writeProgram(
            dir,
            `${name}.c`,
            program.c,
            await clang({ [`${name}.c`]: program.c }, ['-O0', '-g', '-fdebug-compilation-dir=.']),
          );
    const lines = readFileSync(built.source, 'utf8').split('\n');
    const t = new Transcript(await adapter.connect(), dir);
    try {
      await run(t, built.program, built.source, mark => lines.findIndex(l => l.includes(`#BP ${mark}`)) + 1);
    } finally {
      await t.stop();
    }
    const file = join(GOLDEN, `${name}.txt`);
    if (bless) writeFileSync(file, t.text);
    expect(existsSync(file), `there is no ${file}: BLESS=1 writes it`).toBe(true);
    expect(t.text).toBe(readFileSync(file, 'utf8'));
  },
  60_000,
);
