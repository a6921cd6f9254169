/** Disassembly of a compiled module, with wasm offsets and traps. */
import { TRAPS } from '../abi/traps.ts';
import type { Artifact } from '../object/artifact-reader.ts';
import { clean } from './report.ts';

/** The disassembler; given from outside, as it is large and only needed for this. */
type Iced = typeof import('iced-x86');

export interface NativeInstruction {
  /** As readelf and gdb show it. */
  readonly address: number;
  /** From the function's first byte. */
  readonly pc: number;
  readonly bytes: Uint8Array;
  readonly text: string;
  /** Byte offset in the wasm module of what it was made from; -1: not known. */
  readonly wasmOffset: number;
  /** Where a call goes, what a constant is, the trap it raises; empty: nothing to say. */
  readonly note: string;
}

function target(a: Artifact, address: number): string {
  const pc = address - a.textAddress;
  const func = a.functionAt(pc);
  if (func < 0) {
    const constant = address - a.rodataAddress;
    return constant >= 0 && constant < a.rodata.length ? `rodata+0x${constant.toString(16)}` : '';
  }
  const rel = pc - a.func(func).start;
  return rel === 0 ? a.describe(func) : `${a.describe(func)}+0x${rel.toString(16)}`;
}

/** How machine code is written. */
export type Syntax = 'intel' | 'att';

/**
 * One function's instructions, at most `limit`.
 * @throws ArtifactError when the pc map is damaged
 */
export function* instructions(
  a: Artifact,
  iced: Iced,
  index: number,
  limit = Number.POSITIVE_INFINITY,
  syntax: Syntax = 'intel',
): Generator<NativeInstruction> {
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax, FlowControl } = iced;
  const f = a.func(index);
  if (f.length === 0) return;
  const map = a.pcMap(index);
  const code = a.text.subarray(f.start, f.start + f.length);
  const base = a.textAddress + f.start;
  const decoder = new Decoder(64, code, DecoderOptions.None);
  decoder.ip = BigInt(base);
  const formatter = new Formatter(syntax === 'att' ? FormatterSyntax.Gas : FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.spaceAfterOperandSeparator = true;
  formatter.ripRelativeAddresses = true;
  formatter.branchLeadingZeros = false;
  let next = 0;
  let wasmOffset = -1;
  try {
    for (let n = 0; decoder.canDecode && n < limit; n++) {
      const i = decoder.decode();
      const pc = Number(i.ip) - base;
      let trap = '';
      for (; next < map.length && map[next]!.pc <= pc; next++) {
        const e = map[next]!;
        if (e.trap !== 0 && e.pc === pc) trap = `trap ${TRAPS[e.trap]!.name}`;
        wasmOffset = e.wasmOffset;
      }
      const notes: string[] = [];
      if (i.flowControl === FlowControl.Call) notes.push(target(a, Number(i.nearBranchTarget)));
      if (i.isIpRelMemoryOperand) notes.push(target(a, Number(i.ipRelMemoryAddress)));
      if (trap) notes.push(trap);
      yield {
        address: base + pc,
        pc,
        bytes: code.subarray(pc, pc + i.length),
        text: formatter.format(i),
        wasmOffset,
        note: notes.filter(n => n !== '').join(', '),
      };
      i.free();
    }
  } finally {
    formatter.free();
    decoder.free();
  }
}

/**
 * One function's text: a line for each instruction, behind a line with its wasm offset wherever that changes.
 * @throws ArtifactError when the pc map is damaged
 */
export function disassembleFunction(
  a: Artifact,
  iced: Iced,
  index: number,
  syntax: Syntax = 'intel',
): string {
  const f = a.func(index);
  if (f.length === 0) return '';
  const address = (n: number) => n.toString(16).padStart(8, '0');
  const lines = [
    `${address(a.textAddress + f.start)} <${a.describe(index)}>: function ${index}, frame ${f.frameSize}`,
  ];
  let shown = -1;
  for (const i of instructions(a, iced, index, Number.POSITIVE_INFINITY, syntax)) {
    if (i.wasmOffset !== shown) {
      shown = i.wasmOffset;
      lines.push(`          ; wasm 0x${shown.toString(16)}`);
    }
    const bytes = Array.from(i.bytes, b => b.toString(16).padStart(2, '0')).join(' ');
    const text = `  ${address(i.address)}  ${bytes.padEnd(30)} ${i.text}`;
    lines.push(i.note ? `${text}  ; ${i.note}` : text);
  }
  return `${lines.map(clean).join('\n')}\n`;
}
