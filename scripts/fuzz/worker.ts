/**
 * A process that makes and compares modules, one after the other, for main.ts: native code that crashes takes only this
 * process along. Before each step its number goes to file descriptor 4, synchronously, so that the parent knows where
 * the process died.
 */
import { existsSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { CompileError, compile } from '../../compiler/index.ts';
import { InternalFault } from '../../runtime/index.ts';
import { type FuzzEngine, LucetEngine, VARIANT_NAMES, type Variant, v8, validForV8 } from './engine.ts';
import { Generator } from './generate.ts';
import { compareRecords, type FuzzRecord, runModule, shapeOf } from './run.ts';

export const PROGRESS_FD = 4;

export interface FuzzTask {
  readonly path: string;
  /** To be made first; null: the file is there. */
  readonly make: { readonly seed: number; readonly index: number } | null;
  readonly optLevels: readonly (0 | 1 | 2)[];
  readonly variants: readonly Variant[];
}

export interface FuzzReport {
  /** What differs, for each engine that does. */
  readonly findings: readonly string[];
  /** Why there is nothing to compare. */
  readonly skipped: string | null;
  readonly calls: number;
  /** Everything, to the end. */
  readonly complete: boolean;
}

/** Names of the steps, by number. */
export const STEPS: readonly string[] = [
  'starting',
  'making the module',
  'compiling with V8',
  'running with V8',
  ...[0, 1, 2].flatMap(level =>
    VARIANT_NAMES.flatMap(name => [`compiling with -O${level} ${name}`, `running with -O${level} ${name}`]),
  ),
];
const MAKING = 1;
const V8_STEP = 2;
/** Nothing of ours runs before this step. */
export const FIRST_OWN_STEP = 4;

let generator: Generator | null = null;

export function runWorker(): void {
  process.on('message', (task: FuzzTask) => {
    void perform(task).then(report => process.send!(report));
  });
  process.on('disconnect', () => process.exit(0));
}

const progress = new Uint8Array(1);

function step(number: number): void {
  progress[0] = number;
  if (process.connected) writeSync(PROGRESS_FD, progress);
}

async function perform(task: FuzzTask): Promise<FuzzReport> {
  const nothing = { findings: [], calls: 0, complete: false };
  if (task.make !== null && !existsSync(task.path)) {
    step(MAKING);
    generator ??= new Generator(dirname(task.path));
    try {
      writeFileSync(task.path, await generator.generate(task.make.seed, task.make.index));
    } catch (e) {
      return { ...nothing, skipped: (e as Error).message };
    }
  }
  const bytes = readFileSync(task.path);
  if (!validForV8(bytes)) {
    // Binaryen slips up; or we know more than this V8. But whatever it is, nothing may break.
    const broken = compileAnything(bytes);
    return { ...nothing, findings: broken === null ? [] : [broken], skipped: 'not valid for V8' };
  }
  let expected: FuzzRecord;
  let shape: ReturnType<typeof shapeOf>;
  try {
    shape = shapeOf(bytes);
    expected = runModule(v8, bytes, shape, running => step(V8_STEP + Number(running)));
  } catch (e) {
    return { ...nothing, findings: [`V8: ${describe(e)}`], skipped: null };
  }
  const findings: string[] = [];
  let complete = expected.ended === null;
  for (const optLevel of task.optLevels) {
    for (const variant of task.variants) {
      const engine: FuzzEngine = new LucetEngine(optLevel, variant);
      const first = FIRST_OWN_STEP + 2 * (VARIANT_NAMES.length * optLevel + VARIANT_NAMES.indexOf(variant));
      try {
        const actual = runModule(engine, bytes, shape, running => step(first + Number(running)));
        complete &&= actual.ended === null;
        const difference = compareRecords(expected, actual);
        if (difference !== null) findings.push(`${engine.name} differs from V8:\n${difference}`);
      } catch (e) {
        findings.push(`${engine.name}: ${describe(e)}`);
      }
    }
  }
  return { findings, skipped: null, calls: expected.calls, complete };
}

/** null: it was compiled, or rejected with a reason. */
function compileAnything(bytes: Uint8Array): string | null {
  step(FIRST_OWN_STEP);
  try {
    compile(bytes, { optLevel: 0 });
    return null;
  } catch (e) {
    return e instanceof CompileError ? null : describe(e);
  }
}

/** Lines of a stack that are shown. */
const STACK_LINES = 6;

function describe(e: unknown): string {
  if (e instanceof InternalFault) {
    const { report } = e;
    const place = `function ${report.functionIndex}, wasm offset ${report.wasmOffset}, address ${report.faultAddress}`;
    return `${e.message} (${place})`;
  }
  if (!(e instanceof Error)) return String(e);
  return (e.stack ?? e.message).split('\n').slice(0, STACK_LINES).join('\n');
}
