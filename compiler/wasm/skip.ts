/** Reading operators and past their immediates, in bodies that need not be valid. */
import { Code, Imm, OPCODES, type Opcode, OpcodePage } from './opcodes.ts';
import type { Reader } from './reader.ts';

/** A value type, heap type or block type. */
export function skipType(r: Reader): void {
  const byte = r.peek();
  if (byte === 0x63 || byte === 0x64) {
    r.pos++;
    r.s33();
  } else if (byte >= 0x40 && byte < 0x80) r.pos++;
  else r.s33();
}

/** The operator at the cursor, behind its prefix if it has one; undefined: there is none of that code. */
export function readOpcode(r: Reader): Opcode | undefined {
  const byte = r.u8();
  if (byte === Code.MiscPrefix) return OPCODES[OpcodePage.Misc + Math.min(r.u32(), 255)];
  if (byte === Code.SimdPrefix) return OPCODES[OpcodePage.Simd + r.u32()];
  return OPCODES[byte];
}

/** An alignment, of which bit 6 says that the index of a memory follows, and an offset. */
function skipMemArg(r: Reader): void {
  if (r.u32() & 0x40) r.u32();
  r.u64();
}

/** Read past an immediate without looking at it. */
export function skipImmediate(r: Reader, imm: Imm): void {
  switch (imm) {
    case Imm.None:
      break;
    case Imm.BlockType:
      skipType(r);
      break;
    case Imm.Index:
      r.u32();
      break;
    case Imm.IndexPair:
      r.u32();
      r.u32();
      break;
    case Imm.LabelTable:
      for (let n = r.u32() + 1; n > 0; n--) r.u32();
      break;
    case Imm.Catches:
      skipType(r);
      for (let n = r.u32(); n > 0; n--) {
        if (r.u8() < 2) r.u32();
        r.u32();
      }
      break;
    case Imm.Types:
      for (let n = r.u32(); n > 0; n--) skipType(r);
      break;
    case Imm.HeapType:
      skipType(r);
      break;
    case Imm.MemArg:
      skipMemArg(r);
      break;
    case Imm.I32:
      r.s32();
      break;
    case Imm.I64:
      r.s64();
      break;
    case Imm.F32:
      r.skip(4);
      break;
    case Imm.F64:
      r.skip(8);
      break;
    case Imm.Bytes16:
      r.skip(16);
      break;
    case Imm.MemArgLane:
      skipMemArg(r);
      r.u8();
      break;
    case Imm.Lane:
      r.u8();
      break;
  }
}
