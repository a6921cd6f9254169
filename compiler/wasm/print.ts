/**
 * The text form of functions, line by line, each with the byte offset of its operator: what disassembly views and
 * debuggers show. Reads a body as it is, valid or not; a body that can't be decoded ends with a comment that says
 * where.
 */
import { CompileError } from '../diagnostics.ts';
import type { FuncType, Module, ValType } from './module.ts';
import { Code, Imm, type Opcode } from './opcodes.ts';
import { Reader } from './reader.ts';
import { readOpcode, skipImmediate } from './skip.ts';
import { readHeapType, readValType, typeName } from './types.ts';

export interface WatLine {
  /** Byte offset in the module. */
  readonly offset: number;
  /** Nesting of blocks; the function's own operators are at 1. */
  readonly depth: number;
  readonly text: string;
}

/** Lines of one function at most: views show no more, and a hostile body may have millions. */
const MAX_LINES = 200_000;

const IDCHARS = /^[0-9A-Za-z!#$%&'*+\-./:<=>?@\\^_`|~]+$/;

/** An identifier: plain where its characters allow it, else in quotes. Nothing in it can act on what shows it. */
export function identifier(name: string): string {
  if (IDCHARS.test(name)) return `$${name}`;
  return `$${quoted(name)}`;
}

/** A string of the text format. Control and format characters are escaped, so that the text reads as it is. */
export function quoted(text: string): string {
  const escaped = text.replace(/["\\\p{Cc}\p{Cf}]/gu, c =>
    c === '"' || c === '\\' ? `\\${c}` : `\\u{${c.codePointAt(0)!.toString(16)}}`,
  );
  return `"${escaped}"`;
}

const list = (keyword: string, types: readonly ValType[]): string =>
  types.length === 0 ? '' : ` (${keyword} ${types.map(typeName).join(' ')})`;

/** ` (param i32) (result i32)`; empty: neither. */
export function signatureText(type: FuncType): string {
  return `${list('param', type.params)}${list('result', type.results)}`;
}

export function functionType(module: Module, index: number): FuncType {
  return module.types[module.functions[index]!]!;
}

/** `$name`, or the index. */
function functionLabel(module: Module, index: number): string {
  const name = module.names.functions.get(index);
  return name === undefined || name === '' ? `${index}` : identifier(name);
}

function header(module: Module, index: number): string {
  const { params, results } = functionType(module, index);
  const names = module.names.locals.get(index);
  const named = params.map((t, i) => {
    const name = names?.get(i);
    return ` (param ${name ? `${identifier(name)} ` : ''}${typeName(t)})`;
  });
  const name = module.names.functions.get(index);
  return `(func ${name ? `${identifier(name)} ` : ''}(;${index};)${named.join('')}${list('result', results)}`;
}

/** A float as the text format has it, NaNs with their payload. */
function floatText(value: number, negative: boolean, payload: bigint, quiet: bigint): string {
  const sign = negative ? '-' : '';
  if (Number.isNaN(value)) return payload === quiet ? `${sign}nan` : `${sign}nan:0x${payload.toString(16)}`;
  if (!Number.isFinite(value)) return `${sign}inf`;
  return Object.is(value, -0) ? '-0' : `${value}`;
}

const scratch = new DataView(new ArrayBuffer(8));

class Printer {
  private readonly r: Reader;
  readonly lines: WatLine[] = [];
  private depth = 1;

  constructor(
    private readonly module: Module,
    private readonly index: number,
  ) {
    this.r = new Reader(module.bytes, 0, 0);
    this.r.features = module.features;
  }

  print(): void {
    const { r, module, index } = this;
    const body = module.bodies[index - module.importedFunctions]!;
    r.pos = body.start;
    r.end = body.end;
    this.lines.push({ offset: body.start, depth: 0, text: header(module, index) });
    try {
      this.locals();
      while (r.pos < r.end) {
        if (this.lines.length >= MAX_LINES) {
          this.line(r.pos, ';; more is not shown');
          break;
        }
        this.operator();
      }
    } catch (e) {
      if (!(e instanceof CompileError)) throw e;
      this.line(Math.max(e.offset, body.start), `;; ${e.message}`);
    }
  }

  private line(offset: number, text: string, depth = this.depth): void {
    this.lines.push({ offset, depth: Math.max(0, depth), text });
  }

  private locals(): void {
    const { r, module, index } = this;
    const names = module.names.locals.get(index);
    let next = functionType(module, index).params.length;
    for (let runs = r.u32(); runs > 0; runs--) {
      const at = r.pos;
      const n = r.u32();
      const type = typeName(readValType(r, module.types.length));
      const shown = Math.min(n, 8);
      const parts = Array.from({ length: shown }, (_, i) => {
        const name = names?.get(next + i);
        return `(local ${name ? `${identifier(name)} ` : ''}${type})`;
      });
      if (n > shown) parts.push(`;; and ${n - shown} more`);
      this.line(at, parts.join(' '));
      next += n;
    }
  }

  private opcode(): Opcode {
    const { r } = this;
    const at = r.pos;
    return readOpcode(r) ?? r.fail(`no known operator: 0x${r.bytes[at]!.toString(16)}`, at);
  }

  private operator(): void {
    const { r } = this;
    const at = r.pos;
    const op = this.opcode();
    const { code, name } = op;
    if (code === Code.End || code === Code.Else) {
      const last = code === Code.End && r.pos === r.end;
      this.depth--;
      this.line(at, last ? ')' : name);
      if (code === Code.Else) this.depth++;
      return;
    }
    const operand = this.immediate(op);
    this.line(at, operand === '' ? name : `${name} ${operand}`);
    if (op.imm === Imm.BlockType) this.depth++;
  }

  private immediate(op: Opcode): string {
    const { r } = this;
    switch (op.imm) {
      case Imm.None:
        return '';
      case Imm.BlockType:
        return this.blockType();
      case Imm.Index:
        return this.indexText(op.code, r.u32());
      case Imm.IndexPair:
        return this.pair(op.code);
      case Imm.LabelTable: {
        const labels: number[] = [];
        for (let n = r.u32() + 1; n > 0; n--) labels.push(r.u32());
        return labels.length > 64
          ? `${labels.slice(0, 64).join(' ')} (;and ${labels.length - 64} more;)`
          : labels.join(' ');
      }
      case Imm.Types: {
        const types: string[] = [];
        for (let n = r.u32(); n > 0; n--) types.push(typeName(readValType(r, this.module.types.length)));
        return `(result ${types.join(' ')})`;
      }
      case Imm.HeapType:
        return typeName(readHeapType(r, this.module.types.length)).replace(/ref$|^\(ref null |\)$/g, '');
      case Imm.MemArg:
        return this.memArg(op.align);
      case Imm.MemArgLane:
        return [this.memArg(op.align), `${r.u8()}`].filter(s => s !== '').join(' ');
      case Imm.I32:
        return `${r.s32()}`;
      case Imm.I64:
        r.s64();
        return `${(BigInt(r.hi) << 32n) | BigInt(r.lo >>> 0)}`;
      case Imm.F32: {
        const bits = r.f32();
        scratch.setInt32(0, bits);
        const value = scratch.getFloat32(0);
        return floatText(shortest32(value), bits < 0, BigInt(bits & 0x7fffff), 0x400000n);
      }
      case Imm.F64: {
        r.f64();
        scratch.setInt32(0, r.hi);
        scratch.setInt32(4, r.lo);
        const payload = (BigInt(r.hi & 0xfffff) << 32n) | BigInt(r.lo >>> 0);
        return floatText(scratch.getFloat64(0), r.hi < 0, payload, 1n << 51n);
      }
      case Imm.Bytes16: {
        const bytes = r.bytes.subarray(r.skip(16), r.pos);
        if (op.code === Code.Shuffle) return Array.from(bytes).join(' ');
        const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
        const words = [0, 4, 8, 12].map(i => `0x${view.getUint32(i, true).toString(16).padStart(8, '0')}`);
        return `i32x4 ${words.join(' ')}`;
      }
      case Imm.Lane:
        return `${r.u8()}`;
      default: {
        // An immediate that this printer has no text for: its bytes.
        const from = r.pos;
        skipImmediate(r, op.imm);
        return Array.from(
          r.bytes.subarray(from, Math.min(r.pos, from + 16)),
          b => `0x${b.toString(16)}`,
        ).join(' ');
      }
    }
  }

  private blockType(): string {
    const { r, module } = this;
    const byte = r.peek();
    if (byte === 0x40) {
      r.pos++;
      return '';
    }
    if ((byte & 0xc0) === 0x40) return `(result ${typeName(readValType(r, module.types.length))})`;
    const index = r.s33();
    const type = module.types[index];
    return type === undefined ? `(type ${index})` : `(type ${index})${signatureText(type)}`;
  }

  private indexText(code: number, index: number): string {
    const { names } = this.module;
    switch (code) {
      case Code.Call:
      case Code.ReturnCall:
      case Code.RefFunc:
        return functionLabel(this.module, index);
      case Code.LocalGet:
      case Code.LocalSet:
      case Code.LocalTee: {
        const name = names.locals.get(this.index)?.get(index);
        return name ? identifier(name) : `${index}`;
      }
      case Code.GlobalGet:
      case Code.GlobalSet: {
        const name = names.globals.get(index);
        return name ? identifier(name) : `${index}`;
      }
      case Code.MemorySize:
      case Code.MemoryGrow:
      case Code.MemoryFill:
        return index === 0 ? '' : `${index}`;
      default:
        return `${index}`;
    }
  }

  private pair(code: number): string {
    const { r, module } = this;
    const first = r.u32();
    const second = r.u32();
    switch (code) {
      case Code.CallIndirect:
      case Code.ReturnCallIndirect: {
        const type = module.types[first];
        const table = second === 0 ? '' : `${second} `;
        return `${table}(type ${first})${type === undefined ? '' : signatureText(type)}`;
      }
      case Code.MemoryCopy:
        return first === 0 && second === 0 ? '' : `${first} ${second}`;
      case Code.MemoryInit:
      case Code.TableInit:
        // The binary has the segment first.
        return second === 0 ? `${first}` : `${second} ${first}`;
      default:
        return `${first} ${second}`;
    }
  }

  private memArg(natural: number): string {
    const { r } = this;
    const flags = r.u32();
    const memory = flags & 0x40 ? r.u32() : 0;
    const offset = r.bigU64();
    const align = flags & 0x3f;
    const parts = [];
    if (memory !== 0) parts.push(`${memory}`);
    if (offset !== 0n) parts.push(`offset=${offset}`);
    if (align !== natural) parts.push(`align=${2 ** align}`);
    return parts.join(' ');
  }
}

/** The shortest decimal number that is read back as the same f32. */
function shortest32(value: number): number {
  if (!Number.isFinite(value)) return value;
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/**
 * A defined function's text. The first line is its header, at the offset of the body; the last its closing parenthesis.
 * @param index in the function index space; imported functions have no body
 */
export function printFunction(module: Module, index: number): WatLine[] {
  const printer = new Printer(module, index);
  printer.print();
  return printer.lines;
}
