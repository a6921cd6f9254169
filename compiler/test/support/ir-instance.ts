/**
 * An instance of a module whose code is interpreted IR: what the runtime does (vmctx, tables, segments, builtins), in a
 * few lines, for tests of the front end. Imports are those of the host module `spectest`. Calls from outside go through
 * entry thunks, calls to the host through host thunks.
 */
import { BUILTINS } from '../../abi/builtins.ts';
import { TrapCode } from '../../abi/traps.ts';
import { FUNCREF, MEMORY_ENTRY, TABLE_DESC, VMCTX } from '../../abi/vmctx.ts';
import type { Func } from '../../ir/func.ts';
import { Op } from '../../ir/ops.ts';
import { type ConstExpr, ExternKind, type Module, ValType } from '../../wasm/module.ts';
import { IMAGE_ENTRY, imageBytes, NULL_TYPE } from '../../wasm/table-images.ts';
import { BASE, f32Bits, f64Bits, IMAGES, IrTrap, Machine, type Val } from './interp.ts';
import { layoutOf, lowerModule } from './lower-all.ts';

const FUNCREFS = 0x5000_0000;
const SIG_IDS = 0x5100_0000;
const TABLES = 0x5200_0000;
const TABLE_SPACE = 0x0010_0000;
const IMPORTED = 0x6000_0000;
const ARGS = 0x6100_0000;
const CODE = 0x7000_0000;

/** A module that needs what this instance does not have. */
export class NotModelled extends Error {}

class InstanceMachine extends Machine {
  onBuiltin: (name: string, args: number[], raw: Val[]) => Val | null = () => null;
  onImport: (index: number, args: Val[]) => Val[] = () => [];

  override call(op: Op, imm: number, code: Val, args: Val[]): Val[] {
    if (op === Op.CallImport) return this.onImport(imm, args);
    if (op === Op.CallBuiltin) {
      const numbers = args.map(a => (typeof a === 'number' ? a >>> 0 : Number(BigInt.asUintN(64, a))));
      const result = this.onBuiltin(BUILTINS[imm]!.name, numbers, args);
      if (result !== null) return [result];
    }
    return super.call(op, imm, code, args);
  }
}

export class IrInstance {
  private readonly funcs: Map<number, Func>;
  private machine: InstanceMachine;
  private readonly bytes = new Map<number, Uint8Array>();
  private readonly dropped = { data: new Set<number>(), elem: new Set<number>() };
  private readonly elems: bigint[][] = [];
  private readonly tableLengths: number[] = [];

  /** @param others instances whose exported functions may be imported */
  constructor(
    private readonly module: Module,
    private readonly others: ReadonlyMap<string, IrInstance> = new Map(),
    localsInMemory = false,
  ) {
    for (const i of module.imports) {
      if (i.module === 'spectest' || (i.desc.kind === ExternKind.Func && others.has(i.module))) continue;
      throw new NotModelled(`import from ${i.module}`);
    }
    this.funcs = lowerModule(module, localsInMemory);
    this.machine = this.newMachine();
    this.fillVmctx();
    this.segments();
    if (module.start !== null) this.machine.run(this.funcs.get(module.start)!, []);
  }

  private newMachine(): InstanceMachine {
    const { module } = this;
    const code = new Map<bigint, Func>();
    for (const [i, f] of this.funcs) code.set(BigInt(CODE + 16 * i), f);
    const machine = new InstanceMachine({
      funcs: this.funcs,
      code,
      memories: module.memories.map((m, i) => ({
        pages: i < module.importedMemories ? 1 : Number(m.limits.min),
        max: Math.min(Number(i < module.importedMemories ? 2n : (m.limits.max ?? 65536n)), 1000),
      })),
      vmctxSize: layoutOf(module).size,
      fuel: 1e8,
      host: (_, args) => args.slice(1),
    });
    machine.onImport = (i, args) => this.callImport(i, args);
    machine.onBuiltin = (name, args, raw) => this.builtin(name, args, raw);
    return machine;
  }

  private callImport(index: number, args: Val[]): Val[] {
    const { module } = this;
    const from = module.imports.filter(i => i.desc.kind === ExternKind.Func)[index]!;
    const other = this.others.get(from.module);
    if (!other) return this.machine.run(this.funcs.get(module.functions.length + index)!, args);
    const { results } = module.types[module.functions[index]!]!;
    return other
      .invoke(from.name, args.map(BigInt))
      .map((x, i) =>
        results[i] === ValType.I32 || results[i] === ValType.F32
          ? Number(BigInt.asIntN(32, x))
          : results[i] === ValType.V128
            ? x
            : BigInt.asIntN(64, x),
      );
  }

  /** After a trap the machine has lost its place: the same state in a new one. */
  private afterTrap(): void {
    const old = this.machine;
    this.machine = this.newMachine();
    this.machine.memories.splice(0, this.machine.memories.length, ...old.memories);
    this.machine.vmctx.set(old.vmctx);
    for (const [at, bytes] of this.bytes) this.machine.map(at, bytes);
  }

  private map(at: number, size: number): DataView {
    const bytes = new Uint8Array(size);
    this.bytes.set(at, bytes);
    this.machine.map(at, bytes);
    return new DataView(bytes.buffer);
  }

  private set64(below: number, value: bigint): void {
    const { vmctx } = this.machine;
    new DataView(vmctx.buffer).setBigUint64(vmctx.length - below, BigInt.asUintN(64, value), true);
  }

  private fillVmctx(): void {
    const { module } = this;
    const layout = layoutOf(module);
    const ids = this.map(SIG_IDS, 4 * module.types.length + 4);
    module.canonicalTypes.forEach((c, i) => {
      ids.setUint32(4 * i, 100 + c, true);
    });
    this.set64(VMCTX.SIG_IDS, BigInt(SIG_IDS));
    const refs = this.map(FUNCREFS, FUNCREF.SIZE * module.escaping.length + 8);
    module.escaping.forEach((f, i) => {
      const at = FUNCREF.SIZE * i;
      refs.setBigUint64(at + FUNCREF.CODE, BigInt(CODE + 16 * f), true);
      refs.setBigUint64(at + FUNCREF.VMCTX, BigInt(BASE), true);
      refs.setUint32(at + FUNCREF.SIG_ID, 100 + module.canonicalTypes[module.functions[f]!]!, true);
    });
    this.set64(VMCTX.FUNCREFS, BigInt(FUNCREFS));
    module.memories.forEach((_, i) => {
      const entry = layout.memories - MEMORY_ENTRY.SIZE * i;
      this.set64(entry - MEMORY_ENTRY.LENGTH_PTR, BigInt(BASE - VMCTX.MEMORY_LENGTH));
    });
    const images = this.map(IMAGES, imageBytes(module.tableImages) + 8);
    for (const image of module.tableImages) {
      image?.functions.forEach((f, i) => {
        const at = image.offset + i * IMAGE_ENTRY.SIZE;
        images.setInt32(
          at + IMAGE_ENTRY.TYPE,
          f < 0 ? NULL_TYPE : module.canonicalTypes[module.functions[f]!]!,
          true,
        );
        images.setInt32(at + IMAGE_ENTRY.CODE, f < 0 ? 0 : CODE + 16 * f - (IMAGES + at), true);
      });
    }
    const imported = this.map(IMPORTED, 64 * (module.importedTables + module.importedGlobals) + 8);
    module.tables.forEach((t, i) => {
      const mine = i >= module.importedTables;
      const length = mine ? Number(t.limits.min) : 10;
      if (length * 8 > TABLE_SPACE) throw new NotModelled('a large table');
      this.tableLengths.push(length);
      this.map(TABLES + i * TABLE_SPACE, TABLE_SPACE);
      const entry = layout.tables - TABLE_DESC.SIZE * i;
      const base = BigInt(TABLES + i * TABLE_SPACE);
      if (mine) {
        this.set64(entry - TABLE_DESC.BASE, base);
        this.set64(entry - TABLE_DESC.LENGTH, BigInt(length));
      } else {
        imported.setBigUint64(64 * i + TABLE_DESC.BASE, base, true);
        imported.setBigUint64(64 * i + TABLE_DESC.LENGTH, BigInt(length), true);
        this.set64(entry, BigInt(IMPORTED + 64 * i));
      }
    });
    module.globalTypes.forEach((g, i) => {
      const entry = layout.globals - 16 * i;
      if (i < module.importedGlobals) {
        const at = 64 * (module.importedTables + i);
        imported.setBigUint64(at, BigInt.asUintN(64, spectestGlobal(g.type)), true);
        this.set64(entry, BigInt(IMPORTED + at));
      } else {
        const bits = this.evaluate(module.globals[i - module.importedGlobals]!.init);
        words(g.type, bits).forEach((w, k) => {
          this.set64(entry - 8 * k, w);
        });
      }
    });
  }

  private evaluate(e: ConstExpr): bigint {
    const stack: bigint[] = [];
    for (const o of e) {
      switch (o.op) {
        case 'const':
          stack.push(o.bits);
          break;
        case 'global.get':
          stack.push(this.globalBits(o.index));
          break;
        case 'ref.null':
          stack.push(0n);
          break;
        case 'ref.func':
          stack.push(BigInt(FUNCREFS + FUNCREF.SIZE * this.module.escaping.indexOf(o.index)));
          break;
        case 'array.new_default':
          throw new NotModelled('an object');
        default: {
          const b = stack.pop()!;
          const a = stack.pop()!;
          const exact = o.op === 'add' ? a + b : o.op === 'sub' ? a - b : a * b;
          stack.push(BigInt.asUintN(o.type === ValType.I32 ? 32 : 64, exact));
        }
      }
    }
    return stack[0]!;
  }

  private globalBits(index: number): bigint {
    const { vmctx } = this.machine;
    const at = vmctx.length - layoutOf(this.module).globals + 16 * index;
    const view = new DataView(vmctx.buffer);
    const inline = view.getBigUint64(at, true);
    if (index >= this.module.importedGlobals) {
      const vector = this.module.globalTypes[index]!.type === ValType.V128;
      return vector ? inline | (view.getBigUint64(at + 8, true) << 64n) : inline;
    }
    return new DataView(this.bytes.get(IMPORTED)!.buffer).getBigUint64(Number(inline) - IMPORTED, true);
  }

  private segments(): void {
    const { module } = this;
    module.elems.forEach((s, i) => {
      this.elems.push(s.items.map(e => this.evaluate(e)));
      if (s.mode === 'active') {
        const dst = Number(BigInt.asUintN(32, this.evaluate(s.offset)));
        this.tableInit(s.table, i, dst, 0, s.items.length);
      }
      if (s.mode !== 'passive') this.dropped.elem.add(i);
    });
    module.data.forEach((s, i) => {
      if (s.mode !== 'active') return;
      const dst = Number(BigInt.asUintN(32, this.evaluate(s.offset)));
      this.memoryInit(s.memory, i, dst, 0, s.end - s.start);
      this.dropped.data.add(i);
    });
  }

  // ---- builtins
  private table(index: number): BigUint64Array {
    const bytes = this.bytes.get(TABLES + index * TABLE_SPACE)!;
    return new BigUint64Array(bytes.buffer, 0, this.tableLengths[index]!);
  }

  private setTableLength(index: number, length: number): void {
    this.tableLengths[index] = length;
    if (index >= this.module.importedTables) {
      const entry = layoutOf(this.module).tables - TABLE_DESC.SIZE * index;
      this.set64(entry - TABLE_DESC.LENGTH, BigInt(length));
    } else {
      const view = new DataView(this.bytes.get(IMPORTED)!.buffer);
      view.setBigUint64(64 * index + TABLE_DESC.LENGTH, BigInt(length), true);
    }
  }

  private tableInit(table: number, segment: number, dst: number, src: number, n: number): void {
    const items = this.dropped.elem.has(segment) ? [] : this.elems[segment]!;
    const t = this.table(table);
    checkRange(src, n, items, TrapCode.TableOutOfBounds);
    checkRange(dst, n, t, TrapCode.TableOutOfBounds);
    for (let i = 0; i < n; i++) t[dst + i] = items[src + i]!;
  }

  private memoryInit(memory: number, segment: number, dst: number, src: number, n: number): void {
    const { start, end } = this.module.data[segment]!;
    const data = this.dropped.data.has(segment) ? new Uint8Array(0) : this.module.bytes.subarray(start, end);
    const m = this.machine.memories[memory]!;
    checkRange(src, n, data, TrapCode.HeapOutOfBounds);
    checkRange(dst, n, m, TrapCode.HeapOutOfBounds);
    m.set(data.subarray(src, src + n), dst);
  }

  private builtin(name: string, args: number[], raw: Val[]): Val | null {
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
    switch (name) {
      case 'memory_init':
        this.memoryInit(a, b, c, d, e);
        return 0n;
      case 'data_drop':
        this.dropped.data.add(a);
        return 0n;
      case 'elem_drop':
        this.dropped.elem.add(a);
        return 0n;
      case 'table_init':
        this.tableInit(a, b, c, d, e);
        return 0n;
      case 'table_copy': {
        const to = this.table(a);
        const from = this.table(b);
        checkRange(c, e, to, TrapCode.TableOutOfBounds);
        checkRange(d, e, from, TrapCode.TableOutOfBounds);
        to.set(from.slice(d, d + e), c);
        return 0n;
      }
      case 'table_fill': {
        const t = this.table(a);
        checkRange(b, d, t, TrapCode.TableOutOfBounds);
        t.fill(BigInt.asUintN(64, raw[2] as bigint), b, b + d);
        return 0n;
      }
      case 'table_grow': {
        const old = this.tableLengths[a]!;
        const max = Number(this.module.tables[a]!.limits.max ?? 0xffffffffn);
        if (old + c > max || (old + c) * 8 > TABLE_SPACE) return -1n;
        this.setTableLength(a, old + c);
        this.table(a).fill(BigInt.asUintN(64, raw[1] as bigint), old);
        return BigInt(old);
      }
      default:
        return null;
    }
  }

  // ---- from outside
  /** Call an export; values are bits, as in the argument array. */
  invoke(name: string, args: readonly bigint[]): bigint[] {
    const { module } = this;
    const e = module.exports.find(x => x.name === name && x.kind === ExternKind.Func)!;
    const type = module.types[module.functions[e.index]!]!;
    const canonical = module.canonicalTypes[module.functions[e.index]!]!;
    const entries = [...new Set([...module.escaping].map(f => module.canonicalTypes[module.functions[f]!]!))];
    const k = entries.sort((x, y) => x - y).indexOf(canonical);
    const thunk = this.funcs.get(module.functions.length + module.importedFunctions + k)!;
    const array = new BigUint64Array(2 * Math.max(args.length, type.results.length) + 1);
    array.set(args.flatMap((x, i) => words(type.params[i]!, x)));
    const bytes = new Uint8Array(array.buffer);
    this.bytes.set(ARGS, bytes);
    this.machine.map(ARGS, bytes);
    try {
      this.machine.run(thunk, [BigInt(ARGS), BigInt(CODE + 16 * e.index)]);
    } catch (error) {
      this.bytes.delete(ARGS);
      this.afterTrap();
      throw error;
    }
    this.bytes.delete(ARGS);
    (this.machine as unknown as { mapped: unknown[] }).mapped.pop();
    let at = 0;
    return type.results.map(t => {
      const low = narrow(t, array[at++]!);
      return t === ValType.V128 ? low | (array[at++]! << 64n) : low;
    });
  }

  /** Bits of an exported global. */
  get(name: string): bigint {
    const e = this.module.exports.find(x => x.name === name && x.kind === ExternKind.Global)!;
    return narrow(this.module.globalTypes[e.index]!.type, this.globalBits(e.index));
  }
}

function narrow(t: ValType, bits: bigint): bigint {
  return t === ValType.I32 || t === ValType.F32 ? BigInt.asUintN(32, bits) : bits;
}

/** A value's words in an array of arguments, or in a global. */
function words(t: ValType, bits: bigint): bigint[] {
  const low = BigInt.asUintN(64, bits);
  return t === ValType.V128 ? [low, BigInt.asUintN(64, bits >> 64n)] : [low];
}

function checkRange(at: number, n: number, a: ArrayLike<unknown>, trap: TrapCode): void {
  if (at + n > a.length) throw new IrTrap(trap);
}

function spectestGlobal(t: ValType): bigint {
  switch (t) {
    case ValType.F32:
      return BigInt(f32Bits(666.6));
    case ValType.F64:
      return f64Bits(666.6) as bigint;
    default:
      return 666n;
  }
}
