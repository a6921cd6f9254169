/**
 * `npm run bench:live -- [COUNT]`: that many instances of hello (100,000) in one dense region, from JavaScript. Each is
 * stopped in its first write, a host function that gives a promise; when all are, each write is carried out and each
 * run finishes. Fails unless all print what they should.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../compiler/index.ts';
import { HostFunction, Instance, Linkage, Module, Region, type Vmctx } from '../runtime/index.ts';
import { guests } from './instances-modules.ts';

const EXPECTED = 'Hello, world!\n';

interface Write {
  readonly vm: Vmctx;
  readonly iovs: number;
  readonly count: number;
  readonly written: number;
  readonly resolve: (errno: number) => void;
}

/** The bytes that the guest writes; tells it that all were taken. */
function carryOut({ vm, iovs, count, written, resolve }: Write): string {
  const memory = vm.memory();
  const list = Buffer.from(memory.read(iovs, 8 * count));
  let text = '';
  for (let i = 0; i < count; i++) {
    const [at, length] = [list.readUInt32LE(8 * i), list.readUInt32LE(8 * i + 4)];
    text += Buffer.from(memory.read(at, length)).toString();
  }
  const total = Buffer.alloc(4);
  total.writeUInt32LE(text.length);
  memory.write(written, total);
  resolve(0);
  return text;
}

const kilobytes = (what: string): number => {
  const line = readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${what}:\\s+(\\d+)`, 'm'));
  return Number(line![1]);
};

async function main(): Promise<void> {
  const count = Number(process.argv[2] ?? 100_000);
  const root = join(dirname(fileURLToPath(import.meta.url)), '..');
  const module = Module.fromBytes(compile((await guests(root)).hello, { memory: 'dense' }));
  const writes: Write[] = [];
  const functions: Record<string, unknown> = {};
  for (const { module: from, name } of module.imports) {
    if (from === 'wasi_snapshot_preview1') functions[name] = () => 0;
  }
  functions.fd_write = new HostFunction(
    (vm: Vmctx, _fd: number, iovs: number, n: number, written: number) =>
      new Promise<number>(resolve => {
        writes.push({ vm, iovs, count: n, written, resolve });
      }),
    { vmctx: true },
  );
  const linkage = Linkage.create(module, { wasi_snapshot_preview1: functions as never });
  const limits = { heapMemorySize: 256 << 10, stackSize: 32 << 10, vmctxSize: 4096 };
  const region = Region.create({ capacity: count, kind: 'dense', limits });
  const before = { rss: kilobytes('VmRSS'), tables: kilobytes('VmPTE') };
  const start = Date.now();
  const instances = Array.from({ length: count }, () => Instance.create(region, linkage));
  const runs = instances.map(i => i.callAsync('_start'));
  const stopped = writes.length;
  const each = (kib: number) => `${((kib * 1024) / count).toFixed(0)} bytes`;
  console.log(`${stopped} instances stopped in their run after ${Date.now() - start} ms`);
  console.log(`resident, each: ${each(kilobytes('VmRSS') - before.rss)} (JavaScript's objects included)`);
  console.log(`page tables, each: ${each(kilobytes('VmPTE') - before.tables)}`);
  const right = writes.map(carryOut).filter(text => text === EXPECTED).length;
  await Promise.all(runs);
  for (const i of instances) i.dispose();
  const ok = stopped === count && right === count && region.freeSlots === count;
  console.log(`${right} finished with the right output after ${Date.now() - start} ms`);
  console.log(ok ? '1 passed, 0 failed' : '0 passed, 1 failed');
  if (!ok) process.exitCode = 1;
}

await main();
