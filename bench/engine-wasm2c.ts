/**
 * wasm2c (of WABT, Debian's package `wabt`) and gcc -O2: the module made C, with our WASI functions. What a version of
 * wasm2c does not know (1.0.32: vectors) fails.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Compiled, Engine } from './engine.ts';
import { builtProgram, cpuTimeOf, findProgram, objectTextBytes, ROOT, scratchFolder } from './engine-cc.ts';
import type { Workload } from './workload.ts';

/**
 * Where packages put it. Program and runtime must be of one version, so PATH, in which npm's own may come first, is not
 * asked.
 */
const PREFIX = ['/usr/local', '/usr'].find(prefix => existsSync(join(prefix, 'bin', 'wasm2c')));
const PROGRAM = `${PREFIX}/bin/wasm2c`;
const RUNTIME = `${PREFIX}/share/wabt/wasm2c`;

/** Is there such a peer here? */
export function hasWasm2c(): boolean {
  return PREFIX !== undefined && existsSync(join(RUNTIME, 'wasm-rt-impl.c')) && findProgram('gcc');
}

const NATIVE = join(ROOT, 'runtime', 'native');

/** One import of the generated header: a comment with its names, and its prototype. */
const IMPORT = /\/\* import: '([^']*)' '([^']*)' \*\/\n(\w+) (\w+)\(([^)]*)\);/g;

function match(header: string, pattern: RegExp, what: string): RegExpMatchArray {
  const found = header.match(pattern);
  if (!found) throw new Error(`wasm2c: its header has no ${what}`);
  return found;
}

/** The C of a host for what a header declares. */
export function hostSource(header: string): string {
  const stubs = [...header.matchAll(IMPORT)].map(([, module, name, result, symbol, list]) => {
    const types = list!.split(',').map(t => t.trim());
    const params = types.map((t, i) => `${t} a${i}`).join(', ');
    // The first one is the instance of the module that is imported from.
    const words = types.slice(1).map((_, i) => `a${i + 1}`);
    if (module === 'bench')
      return `${result} ${symbol}(${params}) { (void)a0; ${name === 'start' ? 'clock_start' : 'clock_stop'}(); }`;
    const call = `uint64_t w[10] = {${words.join(', ') || '0'}}; const uint64_t r = wasi_call("${module}", "${name}", w); (void)a0; (void)r;`;
    return `${result} ${symbol}(${params}) { ${call}${result === 'void' ? '' : ` return (${result})r;`} }`;
  });
  const [, instantiate, type, rest] = match(
    header,
    /void (\w+_instantiate)\((\w+) ?\*([^)]*)\);/,
    'instantiation',
  );
  const [, memory] = match(header, /export: 'memory' \*\/\nwasm_rt_memory_t ?\* ?(\w+)\(/, 'memory');
  const [, start] = match(header, /export: '_start' \*\/\nvoid (\w+)\(/, '_start');
  const init = header.match(/void (\w+_init_module)\(void\);/);
  const others = rest!.split(',').slice(1);
  return `#include "guest.h"
#include "wasm2c-host.h"
${stubs.join('\n')}

static ${type} guest;

int main(int argc, char **argv) {
  wasm_rt_init();
  ${init ? `${init[1]}();` : ''}
  ${instantiate}(${['&guest', ...others.map(() => 'NULL')].join(', ')});
  host_begin(argc, argv, ${memory}(&guest));
  bench_clock.whole = cpu_ms();
  if (setjmp(vmctx.exit) == 0) ${start}(&guest);
  clock_write(argv[2]);
  return vmctx.status;
}
`;
}

/** What programs of all workloads are linked with, built once. */
function buildRuntime(folder: string): string[] {
  const wasi = readdirSync(NATIVE).filter(f => /^wasi.*\.c$/.test(f));
  const sources = [join(RUNTIME, 'wasm-rt-impl.c'), ...wasi.map(f => join(NATIVE, f))];
  return sources.map((source, i) => {
    const object = join(folder, `runtime${i}.o`);
    execFileSync('gcc', ['-std=gnu11', '-O2', '-w', '-I', NATIVE, '-I', RUNTIME, '-c', source, '-o', object]);
    return object;
  });
}

function build(workload: Workload): Compiled {
  const folder = scratchFolder();
  const at = (name: string): string => join(folder, name);
  const runtime = buildRuntime(folder);
  let compileMs = cpuTimeOf(PROGRAM, ['-n', 'guest', workload.path, '-o', at('guest.c')]);
  const flags = ['-O2', '-w', '-I', RUNTIME];
  compileMs += cpuTimeOf('gcc', [...flags, '-c', at('guest.c'), '-o', at('guest.o')]);
  writeFileSync(at('host.c'), hostSource(readFileSync(at('guest.h'), 'utf8')));
  const includes = ['-I', NATIVE, '-I', join(ROOT, 'bench', 'native'), '-I', folder];
  execFileSync('gcc', [
    ...[...flags, ...includes, at('host.c'), at('guest.o'), ...runtime],
    ...['-lm', '-pthread', '-o', at('program')],
  ]);
  const start = {
    args: (time: string) => [`${workload.name}.wasm`, time, ...workload.args],
    env: () => process.env,
  };
  return builtProgram(at('program'), start, { compileMs, textBytes: objectTextBytes(at('guest.o')) });
}

export function wasm2cEngine(): Engine {
  let built: Compiled | null = null;
  return {
    // Minutes of gcc for the largest: once.
    compile: async (_, workload) => {
      built ??= build(workload);
      return built;
    },
  };
}
