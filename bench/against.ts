/** Comparison with an earlier revision of ours: a build of it, and what has become of each function's code. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { HERE } from './peer.ts';
import type { Workload } from './workload.ts';

/** Functions whose code moved most that are listed for each workload. */
const LISTED = 10;

const root = dirname(HERE);

export interface Before {
  /** Where its build lies. */
  readonly dist: string;
  readonly dispose: () => void;
}

/**
 * Check out and build a revision, in a work tree for the time of the run. Its packages are those of this one.
 * @throws Error when git does not know it, or it is older than the benchmark's processes
 */
export function buildRevision(revision: string): Before {
  const folder = mkdtempSync(join(tmpdir(), 'lucet-against-'));
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const dispose = () => {
    git('worktree', 'remove', '--force', folder);
    rmSync(folder, { recursive: true, force: true });
  };
  git('worktree', 'add', '--detach', folder, revision);
  try {
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    execFileSync('node', ['scripts/build.mjs'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
    const dist = join(folder, 'dist');
    if (!existsSync(join(dist, 'bench-child.js')))
      throw new Error(`${revision} is older than the benchmark's own processes: it can't be measured`);
    return { dist, dispose };
  } catch (e) {
    dispose();
    throw e;
  }
}

/** Each function's instructions, by name, without addresses and bytes: code that has only moved is equal. */
function functionTexts(dist: string, workload: Workload, level: number): Map<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'lucet-against-'));
  try {
    const so = join(folder, 'a.so');
    execFileSync('node', [join(dist, 'lucetc.js'), workload.path, '--opt-level', String(level), '-o', so]);
    const text = execFileSync('node', [join(dist, 'lucet-objdump.js'), '-d', so], {
      encoding: 'utf8',
      maxBuffer: 2 ** 30,
    });
    const functions = new Map<string, string>();
    for (const part of text.split(/\n(?=[0-9a-f]{8} <)/)) {
      const name = part.match(/^[0-9a-f]{8} <(.*)>: function (\d+)/);
      if (!name) continue;
      const lines = part
        .split('\n')
        .slice(1)
        .map(l => l.match(/^ {2}[0-9a-f]{8} {2}(?:[0-9a-f]{2} )+ *(.*)$/)?.[1])
        .filter(l => l !== undefined)
        .map(l =>
          l
            .replace(/^(j\w+|call) (?:short |near )?0x[0-9a-f]+/, '$1')
            .replace(/\[rip[^\]]*\]|\[0x[0-9a-f]+\]/, '[rip]')
            .replace(/ +; rodata\+0x[0-9a-f]+/, ''),
        );
      functions.set(`${name[2]} ${name[1]}`, `${lines.join('\n')}\n`);
    }
    return functions;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const lineCount = (text: string | undefined): number => (text ? text.split('\n').length - 1 : 0);

/** What moved in a workload's code; the full difference of each function goes to `to/WORKLOAD.diff`. */
export function codeDifference(before: Before, workload: Workload, level: number, to: string): string {
  const old = functionTexts(before.dist, workload, level);
  const now = functionTexts(HERE, workload, level);
  const moved = [...new Set([...old.keys(), ...now.keys()])]
    .filter(name => old.get(name) !== now.get(name))
    .map(name => ({ name, from: lineCount(old.get(name)), to: lineCount(now.get(name)) }))
    .sort((a, b) => Math.abs(b.to - b.from) - Math.abs(a.to - a.from));
  mkdirSync(to, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'lucet-against-'));
  let all = '';
  for (const { name } of moved) {
    writeFileSync(join(folder, 'a'), old.get(name) ?? '');
    writeFileSync(join(folder, 'b'), now.get(name) ?? '');
    try {
      execFileSync('diff', ['-u', '--label', `before ${name}`, '--label', `now ${name}`, 'a', 'b'], {
        cwd: folder,
      });
    } catch (e) {
      all += (e as { stdout: Buffer }).stdout.toString();
    }
  }
  rmSync(folder, { recursive: true, force: true });
  const file = join(to, `${workload.name}.diff`);
  writeFileSync(file, all);
  const lines = moved
    .slice(0, LISTED)
    .map(m => `  ${String(m.from).padStart(6)} -> ${String(m.to).padStart(6)}  ${m.name}`);
  return `${workload.name}: ${moved.length} of ${now.size} functions differ (instructions; all in ${file})\n${lines.join('\n')}\n`;
}
