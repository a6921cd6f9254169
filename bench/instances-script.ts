/** The same from JavaScript: V8's own instances, and Lucet's through the TypeScript API. Interleaved, nanoseconds. */
import { compile } from '../compiler/index.ts';
import { type Func, Instance, Linkage, Module, Region, WasiCommand, WasiTemplate } from '../runtime/index.ts';
import type { Guests } from './instances-modules.ts';

export interface Row {
  readonly engine: string;
  readonly metric: string;
  readonly p50: number;
  readonly p99: number;
  readonly unit: string;
}

class Series {
  readonly #values: number[] = [];

  constructor(
    readonly engine: string,
    readonly metric: string,
  ) {}

  /** @param times how often `act` was done within */
  add(from: bigint, times = 1): void {
    this.#values.push(Number(process.hrtime.bigint() - from) / times);
  }

  row(): Row {
    const sorted = [...this.#values].sort((a, b) => a - b);
    const at = (q: number) => sorted[Math.floor(sorted.length * q)]!;
    return { engine: this.engine, metric: this.metric, p50: at(0.5), p99: at(0.99), unit: 'ns' };
  }
}

const now = process.hrtime.bigint;

/** The least that hello needs of WASI; its output goes nowhere. */
function stubs(module: WebAssembly.Module, memory: () => WebAssembly.Memory): WebAssembly.Imports {
  const functions: Record<string, (...args: number[]) => number> = {};
  for (const { name } of WebAssembly.Module.imports(module)) functions[name] = () => 0;
  functions.fd_write = (_fd, iovs, count, written) => {
    const view = new DataView(memory().buffer);
    let total = 0;
    for (let i = 0; i < count!; i++) total += view.getUint32(iovs! + 8 * i + 4, true);
    view.setUint32(written!, total, true);
    return 0;
  };
  return { wasi_snapshot_preview1: functions };
}

function v8Cycles(bytes: Uint8Array, what: string, runs: boolean): { step: () => void; rows: () => Row[] } {
  const module = new WebAssembly.Module(bytes);
  const make = new Series('v8', `${what}, instantiate`);
  const call = new Series('v8', `${what}, first call`);
  let memory: WebAssembly.Memory;
  const imports = stubs(module, () => memory);
  return {
    step: () => {
      let from = now();
      const { exports } = new WebAssembly.Instance(module, imports);
      make.add(from);
      memory = exports.memory as WebAssembly.Memory;
      if (!runs) return;
      from = now();
      (exports._start as () => void)();
      call.add(from);
    },
    rows: () => (runs ? [make, call] : [make]).map(s => s.row()),
  };
}

const BATCH = 1000;

function borders(bytes: Uint8Array): { step: () => void; rows: () => Row[] } {
  const host = (a: number, b: number) => (a + b) | 0;
  const imports = { env: { host, embedder: () => {} } };
  const v8 = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports as Record<
    string,
    (...args: number[]) => number
  >;
  const instance = (memory: 'guarded' | 'dense') =>
    Instance.create(
      Region.create({ capacity: 1, kind: memory }),
      Module.fromBytes(compile(bytes, { memory })),
      imports,
    );
  const engines = (['guarded', 'dense'] as const).map(kind => {
    const i = instance(kind);
    const f = (name: string): Func => i.func(name);
    const [add, hostcalls, load, check] = [f('add'), f('hostcalls'), f('load'), f('check')];
    return {
      name: `lucet-${kind}`,
      add: (a: number, b: number) => add.call(a, b) as number,
      hostcalls: (n: number) => hostcalls.call(n) as number,
      load: (a: number) => load.call(a) as number,
      check: (a: number) => check.call(a) as number,
    };
  });
  const all = [
    ...engines,
    { name: 'v8', add: v8.add!, hostcalls: v8.hostcalls!, load: v8.load!, check: v8.check! },
  ].map(e => ({
    ...e,
    call: new Series(e.name, 'call into a guest, from JavaScript'),
    hostcall: new Series(e.name, 'JavaScript hostcall'),
    traps: [
      { f: e.load, series: new Series(e.name, 'trap caught in JavaScript: load out of bounds') },
      { f: e.check, series: new Series(e.name, 'trap caught in JavaScript: unreachable') },
    ],
  }));
  return {
    step: () => {
      for (const e of all) {
        let from = now();
        let sum = 0;
        for (let i = 0; i < BATCH; i++) sum = e.add(sum, i);
        e.call.add(from, BATCH);
        if (sum !== (BATCH * (BATCH - 1)) / 2) throw new Error(`${e.name}: add is wrong`);
        from = now();
        if (e.hostcalls(BATCH) !== BATCH) throw new Error(`${e.name}: hostcalls are wrong`);
        e.hostcall.add(from, BATCH);
        for (const { f, series } of e.traps) {
          from = now();
          let trapped = false;
          try {
            f(0x7fff_ffff);
          } catch {
            trapped = true;
          }
          series.add(from);
          if (!trapped) throw new Error(`${e.name}: no trap`);
        }
      }
    },
    rows: () => all.flatMap(e => [e.call.row(), e.hostcall.row(), ...e.traps.map(t => t.series.row())]),
  };
}

/** Lucet from JavaScript: one linkage, an instance and a WASI context for each run. */
function lucetCycles(bytes: Uint8Array, kind: 'guarded' | 'dense'): { step: () => void; rows: () => Row[] } {
  const module = Module.fromBytes(compile(bytes, { memory: kind }));
  const region = Region.create({ capacity: 4, kind });
  const wasi = new WasiTemplate();
  const linkage = Linkage.create(module, wasi.imports);
  const make = new Series(`lucet-${kind}`, 'hello, instantiate from JavaScript');
  const call = new Series(`lucet-${kind}`, 'hello, first call from JavaScript');
  const drop = new Series(`lucet-${kind}`, 'hello, drop from JavaScript');
  const whole = new Series(`lucet-${kind}`, 'hello, a whole run from JavaScript');
  const command = new WasiCommand(region, module);
  return {
    step: () => {
      let from = now();
      const i = Instance.create(region, linkage);
      const context = wasi.context();
      context.attach(i);
      make.add(from);
      from = now();
      i.call('_start');
      call.add(from);
      from = now();
      i.dispose();
      context.dispose();
      drop.add(from);
      from = now();
      const { stdout } = command.run();
      whole.add(from);
      if (stdout.length !== 14) throw new Error(`hello printed ${stdout.length} bytes`);
    },
    rows: () => [make, call, drop, whole].map(s => s.row()),
  };
}

export function scriptRows(guests: Guests, rounds: number, only: string | undefined): Row[] {
  const parts: { step: () => void; rows: () => Row[] }[] = [];
  if (only === undefined || only === 'borders') parts.push(borders(guests.micro));
  if (only === undefined || only === 'cycles') {
    parts.push(v8Cycles(guests.hello, 'hello', true), v8Cycles(guests.large, 'large module', false));
    parts.push(lucetCycles(guests.hello, 'guarded'), lucetCycles(guests.hello, 'dense'));
  }
  const warm = 20;
  for (let r = 0; r < rounds + warm; r++) for (const part of parts) part.step();
  return parts.flatMap(part => part.rows());
}
