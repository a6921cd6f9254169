/** Functions without source, as text: each is a source of its own, by reference. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import { decodeModule } from '../compiler/wasm/decode.ts';
import type { Module } from '../compiler/wasm/module.ts';
import { printFunction, type WatLine } from '../compiler/wasm/print.ts';
import { demangle } from '../runtime/debug.ts';
import type { ModuleSymbols } from '../runtime/index.ts';

/** References below are of nothing else's. */
const FIRST = 1_000_000;

export interface WatPlace {
  readonly name: string;
  readonly reference: number;
  readonly line: number;
}

export class WatViews {
  private readonly lines = new Map<number, readonly WatLine[]>();
  private module: Module | null | undefined;

  constructor(private readonly symbols: ModuleSymbols) {}

  private decoded(): Module | null {
    if (this.module === undefined) {
      try {
        this.module = this.symbols.wasm === null ? null : decodeModule(completed(this.symbols.wasm));
      } catch (e) {
        if (!(e instanceof Error) || e.name !== 'CompileError') throw e;
        this.module = null;
      }
    }
    return this.module;
  }

  private of(functionIndex: number): readonly WatLine[] {
    let lines = this.lines.get(functionIndex);
    if (lines === undefined) {
      const module = this.decoded();
      lines =
        module === null || this.symbols.body(functionIndex) === null
          ? []
          : printFunction(module, functionIndex);
      this.lines.set(functionIndex, lines);
    }
    return lines;
  }

  /** The line of the operator at an offset; null: the function can't be shown. */
  at(functionIndex: number, wasmOffset: number): WatPlace | null {
    const lines = this.of(functionIndex);
    if (lines.length === 0) return null;
    let line = 0;
    for (let i = 0; i < lines.length && lines[i]!.offset <= wasmOffset; i++) line = i;
    const { artifact } = this.symbols;
    const name = demangle(artifact.describe(functionIndex)).replace(/[/\\]/g, '_');
    return { name: `${name}.wat`, reference: FIRST + functionIndex, line: line + 1 };
  }

  text(reference: number): string | null {
    const lines = this.of(reference - FIRST);
    return lines.length === 0 ? null : lines.map(l => '  '.repeat(l.depth) + l.text).join('\n');
  }

  /** Which function a source is the text of; null: it is none of ours. */
  functionOf(source: DebugProtocol.Source): number | null {
    const { sourceReference } = source;
    return sourceReference !== undefined && sourceReference >= FIRST ? sourceReference - FIRST : null;
  }

  /** Offset of the operator on a line. */
  offsetAt(functionIndex: number, line: number): number | null {
    return this.of(functionIndex)[line - 1]?.offset ?? null;
  }
}

/** The module ends with its code: as many data segments as it announces, empty ones, make it a whole one. */
function completed(wasm: Uint8Array): Uint8Array {
  let at = 8;
  const u32 = (): number => {
    let value = 0;
    for (let scale = 1, n = 0; n < 5; n++, scale *= 128) {
      const b = wasm[at++] ?? 0;
      value += (b & 127) * scale;
      if (b < 128) break;
    }
    return value;
  };
  let count = 0;
  while (at < wasm.length) {
    const id = wasm[at++];
    const size = u32();
    const end = at + size;
    if (id === 12) count = u32();
    at = end;
  }
  if (count === 0 || count > 1_000_000) return wasm;
  const number = [(count & 127) | 128, ((count >> 7) & 127) | 128, (count >> 14) & 127];
  const size = number.length + 2 * count;
  const section = new Uint8Array(1 + 4 + size);
  section.set([
    11,
    (size & 127) | 128,
    ((size >> 7) & 127) | 128,
    ((size >> 14) & 127) | 128,
    size >> 21,
    ...number,
  ]);
  // Passive, of no bytes.
  for (let i = 0; i < count; i++) section.set([1, 0], 5 + number.length + 2 * i);
  const whole = new Uint8Array(wasm.length + section.length);
  whole.set(wasm);
  whole.set(section, wasm.length);
  return whole;
}
