/** Disassembly of a compiled module, with wasm offsets and traps. */
import { TRAPS } from './abi/traps.ts';
import { clean } from './objdump.ts';
import type { Artifact } from './object/artifact-reader.ts';

/** The disassembler; given from outside, as it is large and only needed for this. */
type Iced = typeof import('iced-x86');

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

/**
 * One function's text: a line for each instruction, behind a line with its wasm offset wherever that changes. Addresses are those that
 * readelf and gdb show.
 * @throws ArtifactError when the pc map is damaged
 */
export function disassembleFunction(a: Artifact, iced: Iced, index: number): string {
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax, FlowControl } = iced;
  const f = a.func(index);
  if (f.length === 0) return '';
  const map = a.pcMap(index);
  const code = a.text.subarray(f.start, f.start + f.length);
  const base = a.textAddress + f.start;
  const lines = [
    `${base.toString(16).padStart(8, '0')} <${a.describe(index)}>: function ${index}, frame ${f.frameSize}`,
  ];
  const decoder = new Decoder(64, code, DecoderOptions.None);
  decoder.ip = BigInt(base);
  const formatter = new Formatter(FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.spaceAfterOperandSeparator = true;
  formatter.ripRelativeAddresses = true;
  formatter.branchLeadingZeros = false;
  let next = 0;
  let shown = -1;
  while (decoder.canDecode) {
    const i = decoder.decode();
    const pc = Number(i.ip) - base;
    let trap = '';
    for (; next < map.length && map[next]!.pc <= pc; next++) {
      const e = map[next]!;
      if (e.trap !== 0 && e.pc === pc) trap = `trap ${TRAPS[e.trap]!.name}`;
      if (e.wasmOffset !== shown) {
        shown = e.wasmOffset;
        lines.push(`          ; wasm 0x${shown.toString(16)}`);
      }
    }
    const notes: string[] = [];
    const flow = i.flowControl;
    if (flow === FlowControl.Call) notes.push(target(a, Number(i.nearBranchTarget)));
    if (i.isIpRelMemoryOperand) notes.push(target(a, Number(i.ipRelMemoryAddress)));
    if (trap) notes.push(trap);
    const bytes = Array.from(code.subarray(pc, pc + i.length), b => b.toString(16).padStart(2, '0')).join(
      ' ',
    );
    const note = notes.filter(n => n !== '').join(', ');
    const text = `  ${(base + pc).toString(16).padStart(8, '0')}  ${bytes.padEnd(30)} ${formatter.format(i)}`;
    lines.push(note ? `${text}  ; ${note}` : text);
    i.free();
  }
  formatter.free();
  decoder.free();
  return `${lines.map(clean).join('\n')}\n`;
}
