/**
 * Native code with the source lines it comes from. Addresses that the editor sees are offsets in .text, as `text:123`.
 */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { demangle } from '../runtime/debug.ts';
import type { ModuleSymbols } from '../runtime/index.ts';
import type { Sources } from './sources.ts';

type Iced = typeof import('iced-x86');
let loaded: Promise<Iced> | null = null;

interface Decoded {
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly text: string;
}

const MAX_INSTRUCTIONS = 10_000;
/** Functions of this length are decoded anew each time. */
const MAX_CACHED = 64;

export class Disassembly {
  private readonly decoded = new Map<number, readonly Decoded[]>();

  constructor(
    private readonly symbols: ModuleSymbols,
    private readonly sources: Sources,
    private readonly syntax: 'intel' | 'att' = 'intel',
  ) {}

  /** An address of the editor's as an offset in .text; null: it is none of ours. */
  static textOffset(reference: string): number | null {
    const m = /^(?:text:)?(0x[0-9a-f]+|\d+)$/i.exec(reference);
    return m === null ? null : Number(m[1]);
  }

  static reference(textOffset: number): string {
    return `0x${textOffset.toString(16)}`;
  }

  async disassemble(
    start: number,
    instructionOffset: number,
    count: number,
  ): Promise<DebugProtocol.DisassembledInstruction[]> {
    const iced = await (loaded ??= import('iced-x86'));
    const { artifact } = this.symbols;
    const wanted = Math.min(count, MAX_INSTRUCTIONS);
    const result: DebugProtocol.DisassembledInstruction[] = [];
    let record = artifact.functionAt(start);
    if (record < 0) return Array.from({ length: wanted }, (_, i) => invalid(start + i));
    let all = this.of(iced, record);
    let index = all.findIndex(d => d.at >= start);
    if (index < 0) index = all.length;
    index += instructionOffset;
    // Before the function's first instruction is the one before it.
    while (index < 0) {
      const before = record > 0 ? this.previous(record) : -1;
      if (before < 0) break;
      record = before;
      all = this.of(iced, record);
      index += all.length;
    }
    for (; index < 0 && result.length < wanted; index++) result.push(invalid(0));
    while (result.length < wanted) {
      if (index >= all.length) {
        const next = this.next(record);
        if (next < 0) break;
        record = next;
        all = this.of(iced, record);
        index = 0;
        if (all.length === 0) continue;
      }
      result.push(this.shown(record, all[index]!, index === 0));
      index++;
    }
    while (result.length < wanted) result.push(invalid(artifact.text.length));
    return result;
  }

  private previous(record: number): number {
    const { artifact } = this.symbols;
    for (let i = record - 1; i >= 0; i--) if (artifact.func(i).length > 0) return i;
    return -1;
  }

  private next(record: number): number {
    const { artifact } = this.symbols;
    for (let i = record + 1; i < artifact.recordCount; i++) if (artifact.func(i).length > 0) return i;
    return -1;
  }

  private of(iced: Iced, record: number): readonly Decoded[] {
    const known = this.decoded.get(record);
    if (known !== undefined) return known;
    const { artifact } = this.symbols;
    const f = artifact.func(record);
    const code = artifact.text.subarray(f.start, f.start + f.length);
    const decoder = new iced.Decoder(64, code, iced.DecoderOptions.None);
    decoder.ip = BigInt(f.start);
    const formatter = new iced.Formatter(
      this.syntax === 'att' ? iced.FormatterSyntax.Gas : iced.FormatterSyntax.Intel,
    );
    const found: Decoded[] = [];
    while (decoder.canDecode) {
      const i = decoder.decode();
      const at = Number(i.ip);
      found.push({
        at,
        bytes: code.subarray(at - f.start, at - f.start + i.length),
        text: formatter.format(i),
      });
      i.free();
    }
    formatter.free();
    decoder.free();
    if (this.decoded.size >= MAX_CACHED) this.decoded.clear();
    this.decoded.set(record, found);
    return found;
  }

  private shown(record: number, d: Decoded, first: boolean): DebugProtocol.DisassembledInstruction {
    const { symbols } = this;
    const { artifact, debug } = symbols;
    const where = artifact.locate(d.at);
    const position =
      where === null || where.wasmOffset < 0
        ? null
        : (debug?.lookup(symbols.codeOffset(where.wasmOffset)) ?? null);
    const wasm = where !== null && where.wasmOffset >= 0 ? `  ; wasm 0x${where.wasmOffset.toString(16)}` : '';
    return {
      address: Disassembly.reference(d.at),
      instructionBytes: Array.from(d.bytes, b => b.toString(16).padStart(2, '0')).join(' '),
      instruction: d.text + wasm,
      ...(first ? { symbol: demangle(artifact.describe(record)) } : {}),
      ...(position === null || position.line === 0
        ? {}
        : {
            location: this.sources.source(position.file),
            line: position.line,
            ...(position.column > 0 ? { column: position.column } : {}),
          }),
    };
  }
}

function invalid(at: number): DebugProtocol.DisassembledInstruction {
  return { address: Disassembly.reference(Math.max(at, 0)), instruction: '??', presentationHint: 'invalid' };
}
