/** Fixtures for the readers of debug information, and the LLVM tools that they are compared with. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, commands } from '@yowasp/clang';

/**
 * Custom debug sections of a module by name, and the size of its code section. Independent of our reader of modules.
 */
export function readSections(wasm: Uint8Array): { debug: Map<string, Uint8Array>; codeSize: number } {
  let at = 8;
  const leb = (): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const b = wasm[at++]!;
      value += (b & 127) * scale;
      scale *= 128;
      if (b < 128) return value;
    }
  };
  const debug = new Map<string, Uint8Array>();
  let codeSize = 0;
  while (at < wasm.length) {
    const id = wasm[at++];
    const size = leb();
    const end = at + size;
    if (id === 10) codeSize = size;
    if (id === 0) {
      const length = leb();
      const name = new TextDecoder().decode(wasm.subarray(at, at + length));
      if (name.startsWith('.debug_')) debug.set(name, wasm.slice(at + length, end));
    }
    at = end;
  }
  return { debug, codeSize };
}

/** What llvm-symbolizer (npm's) prints about a module called x.wasm. */
export async function symbolizer(args: readonly string[], wasm: Uint8Array): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  const { symbolizer } = commands as unknown as { symbolizer: Command };
  await symbolizer(
    [...args],
    { 'x.wasm': wasm },
    {
      stdout: bytes => {
        if (bytes !== null) text += decoder.decode(bytes, { stream: true });
      },
      fetchProgress: () => {},
    },
  );
  return text;
}

/** Where Debian's package `llvm` is installed: npm has no such tool. */
export const hasDwarfdump = spawnSync('llvm-dwarfdump', ['--version']).status === 0;
if (!hasDwarfdump)
  console.error('SKIPPED: comparisons with llvm-dwarfdump: it is not installed (Debian: llvm)');

/** What llvm-dwarfdump prints about a module. */
export function dwarfdump(args: readonly string[], wasm: Uint8Array): string {
  const dir = mkdtempSync(join(tmpdir(), 'lucet-dwarf-'));
  try {
    const path = join(dir, 'x.wasm');
    writeFileSync(path, wasm);
    const { stdout, status } = spawnSync('llvm-dwarfdump', [...args, path], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    if (status !== 0) throw new Error(`llvm-dwarfdump: exit ${status}`);
    return stdout;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
