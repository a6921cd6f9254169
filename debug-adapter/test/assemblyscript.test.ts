/**
 * Objects of AssemblyScript's classes, read off code that its compiler did not optimise; and that nothing is made up
 * where it can't be known.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugClient } from '@vscode/debugadapter-testsupport';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { asc } from '../../scripts/asc.ts';
import { AdapterServer } from './support/adapter-server.ts';

const SOURCE = `class Point {
  constructor(public x: i32, public y: f64) {}
}
class Named extends Point {
  name: string = "a \\"name\\"";
}
class Shape {
  title: string = "triangle";
  corners: i32[] = [1, -2];
  origin: Point | null = null;
  next: Shape | null = null;
  flag: bool = true;
  small: i8 = -7;
  wide: u16 = 65000;
  large: u64 = u64.MAX_VALUE;
  none: Point | null = null;
}
class Small {
  a: i8 = -3;
  b: i64 = 4;
}
class Smaller extends Small {
  // Behind all of its base's, and made with another object of that.
  c: i8 = 5;
  other: Small = new Small();
}
class Third extends Smaller {
  d: f32 = 0.5;
  constructor(e: u8) {
    super();
    this.a = <i8>e;
  }
}
class Failure extends Error {
  constructor(message: string, public code: i32) {
    super(message);
  }
}
class Empty {}
export function look(seed: i32): f64 {
  const origin = new Point(seed, 2.5);
  const named = new Named(4, 0.5);
  const shape = new Shape();
  shape.origin = origin;
  shape.next = shape;
  const empty = new Empty();
  const third = new Third(6);
  const failure = new Failure("no", 7);
  const list = [origin, named];
  return origin.y + named.y + <f64>shape.small + <f64>list.length + <f64>third.a + <f64>third.c + <f64>failure.code; // HERE
}
`;
const HERE = SOURCE.split('\n').findIndex(l => l.includes('// HERE')) + 1;

let dir = '';
let adapter: AdapterServer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-classes-'));
  adapter = await AdapterServer.start({ XDG_CACHE_HOME: dir });
}, 60_000);
afterAll(async () => {
  await adapter.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function localsAt(client: DebugClient, flags: readonly string[]): Promise<Record<string, string>> {
  asc(dir, { 'classes.ts': SOURCE }, ['--sourceMap', ...flags]);
  await client.initializeRequest();
  const stopped = client.waitForEvent('stopped');
  const program = join(dir, 'classes.wasm');
  const launched = client.launchRequest({ program, cwd: dir, invoke: 'look', args: ['-3'] } as never);
  await client.waitForEvent('initialized');
  const source = { path: join(dir, 'classes.ts') };
  await client.setBreakpointsRequest({ source, breakpoints: [{ line: HERE }] });
  await client.configurationDoneRequest();
  await launched;
  await stopped;
  const [frame] = (await client.stackTraceRequest({ threadId: 1 })).body.stackFrames;
  const { scopes } = (await client.scopesRequest({ frameId: frame!.id })).body;
  const { variablesReference } = scopes.find(s => s.name === 'Wasm Locals')!;
  const { variables } = (await client.variablesRequest({ variablesReference })).body;
  await client.stop();
  return Object.fromEntries(variables.map(v => [v.name, v.value.replace(/^\d+ → /, '')]));
}

it.each(['incremental', 'stub'])(
  'objects have the fields of their classes, with the %s runtime',
  async runtime => {
    const found = await localsAt(await adapter.connect(), ['--debug', '--runtime', runtime]);
    const origin = 'Point {x: -3, y: 2.5}';
    // What a base class has stands in front.
    const named = 'Named {x: 4, y: 0.5, name: "a \\"name\\""}';
    const third = 'Third {a: 6, b: 4, c: 5, other: Small {a: -3, b: 4}, d: 0.5}';
    // The library's classes as well.
    const failure = 'Failure {name: "Error", stack: "", message: "no", code: 7}';
    expect(found).toMatchObject({ seed: '-3', origin, named, third, failure });
    expect(found.empty).toMatch(/^(?:Empty \{\}|\d+)$/);
    if (runtime === 'stub') return;
    const rest = 'flag: 1, small: -7, wide: 65000, large: -1, none: null}';
    const next = 'Shape {title: "triangle", corners: (2) [1, -2], origin: Point {…}, next: Shape {…}';
    expect(found.shape).toBe(
      `Shape {title: "triangle", corners: (2) [1, -2], origin: ${origin}, next: ${next}, ${rest}, ${rest}`,
    );
    expect(found.list).toBe(`(2) [${origin}, ${named}]`);
  },
);

it('without names there are numbers', async () => {
  const found = await localsAt(await adapter.connect(), ['--runtime', 'stub']);
  expect(Object.values(found).join(' ')).not.toContain('{');
});
