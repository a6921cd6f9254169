/**
 * What memory is known to hold, during a walk over the dominator tree: loads that were done, values that were stored.
 *
 * Memory is split into *classes*, none of which overlaps another (ops.ts, Region). Each class has a version, a number
 * that changes when something may have been written there. An entry says: at this version, an access to this address
 * gives this value. Versions meet at joins: if all ways in have the same one it stays, else a new one begins; a loop
 * header begins new ones for all that the loop writes.
 *
 * Entries are taken out when the walk leaves the block that made them, so a found value always dominates. That an entry
 * was made also means that the access did not trap: a further one of the same bytes can't trap either.
 */
import { BUILTINS } from '../abi/builtins.ts';
import type { Cfg } from '../ir/cfg.ts';
import type { Block, Func, Value } from '../ir/func.ts';
import {
  accessSize,
  MemKind,
  memIndex,
  memKind,
  OP_FLAGS,
  Op,
  OpFlag,
  Region,
  rawKind,
  rawRegion,
  rawSlot,
} from '../ir/ops.ts';
import { grown, type Ints, sized } from '../ir/scratch.ts';

/** Classes of memory. Imported memories may be one and the same, and so may imported globals. */
const IMPORTED_MEMORIES = 0;
const PRIMARY_MEMORY = 1;
const OTHER_MEMORIES = 2;
const MEMORY_LENGTH = 3;
const TABLE_DESC = 4;
const TABLE_ELEMENT = 5;
const ARGS = 6;
const IMPORTED_GLOBALS = 7;
/** Own globals, spread over eight classes by index. */
const OWN_GLOBALS = 8;
const OWN_GLOBAL_CLASSES = 8;
const CLASSES = 16;
/** Never written, so it needs no version. */
const READ_ONLY = 16;
const ALL = 0xffff;
const MEMORIES = (1 << IMPORTED_MEMORIES) | (1 << PRIMARY_MEMORY) | (1 << OTHER_MEMORIES);
const TABLES = (1 << TABLE_DESC) | (1 << TABLE_ELEMENT);

/** What each builtin writes; indexed by builtin id. */
const BUILTIN_WRITES = BUILTINS.map(({ name }) => {
  switch (name) {
    case 'memory_fill':
    case 'memory_copy':
    case 'memory_copy_own':
    case 'memory_fill_own':
    case 'memory_init':
      return MEMORIES;
    case 'table_fill':
    case 'table_copy':
    case 'table_init':
      return 1 << TABLE_ELEMENT;
    case 'table_grow':
      return TABLES;
    case 'data_drop':
    case 'elem_drop':
      return 0;
    default:
      // memory_grow among them: it makes what was out of bounds zero, and no entry exists for that; but be careful.
      return ALL;
  }
});

/** Whether an instruction may write a global that is no import: a store, or whatever code of others' runs. */
export function mayWriteGlobals(f: Func, v: Value): boolean {
  const op = f.op(v);
  if (!(OP_FLAGS[op]! & OpFlag.Write) || op === Op.Store || op === Op.RawStore) return false;
  if (op === Op.VmStore) return rawRegion(f.imm2(v)) === Region.Global;
  return op !== Op.CallBuiltin || (BUILTIN_WRITES[f.imm(v)] ?? ALL) === ALL;
}

/**
 * Entries carried over from one version to the next at a store to a known other place: at most so many are looked at.
 */
const CARRY_LIMIT = 16;

/** Marks the entry of a store of fewer bits than its value has; loads have their operator here. */
const NARROW_STORE = 0x1000;
/** Entries of one bucket that are compared, the newest first: see value-table.ts. What is not found is loaded again. */
const MOST_COMPARED = 64;

export class Memory {
  private f!: Func;
  private importedMemories = 0;
  /** Version of each class at the point of the walk. */
  private readonly current = new Int32Array(CLASSES + 1);
  /** The same at each block's end. */
  private exits: Ints = new Int32Array(CLASSES * 64);
  private lastVersion = 1;
  /** Classes written in each loop, as bit sets; inner loops included. */
  private loopWrites: Ints = new Int32Array(16);

  // Entries, a stack; entry 0 is reserved.
  private count = 1;
  private eVersion: Ints = new Int32Array(256);
  private eBase: Ints = new Int32Array(256);
  private eOffset: Ints = new Int32Array(256);
  private eAccess: Ints = new Int32Array(256);
  /** Operator of the load, or NARROW_STORE | operator; type in bits 16–23. */
  private eTag: Ints = new Int32Array(256);
  private eValue: Ints = new Int32Array(256);
  private eBucket: Ints = new Int32Array(256);
  private eBelow: Ints = new Int32Array(256);
  /** Entry made before this one at the same version. */
  private eOlder: Ints = new Int32Array(256);
  private heads: Ints = new Int32Array(1024);
  /** Newest entry of each version. */
  private newest: Ints = new Int32Array(256);

  /** @param importedMemories memories below this index are imported */
  begin(f: Func, cfg: Cfg, importedMemories: number): void {
    this.f = f;
    this.importedMemories = importedMemories;
    this.exits = sized(this.exits, f.blockCount * CLASSES);
    // A walk that came to its end has taken all entries out again.
    this.leave(1);
    this.lastVersion = 1;
    this.current.fill(1);
    this.loopWrites = sized(this.loopWrites, cfg.loopCount);
    const writes = this.loopWrites;
    writes.fill(0, 0, cfg.loopCount);
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      const loop = cfg.loopOf[b]!;
      if (loop < 0) continue;
      let mask = writes[loop]!;
      for (let v = f.first[b]!; v !== 0; v = f.next[v]!) mask |= this.writes(v);
      writes[loop] = mask;
    }
    for (let loop = cfg.loopCount - 1; loop >= 0; loop--) {
      const up = cfg.loopParent[loop]!;
      if (up >= 0) writes[up]! |= writes[loop]!;
    }
  }

  enter(): number {
    return this.count;
  }
  leave(point: number): void {
    while (this.count > point) {
      const e = --this.count;
      this.heads[this.eBucket[e]!] = this.eBelow[e]!;
      this.newest[this.eVersion[e]!] = this.eOlder[e]!;
    }
  }

  private memoryClass(memory: number): number {
    if (memory < this.importedMemories) return IMPORTED_MEMORIES;
    return memory === this.importedMemories ? PRIMARY_MEMORY : OTHER_MEMORIES;
  }

  /** Class of a load or store. */
  private classOf(v: Value): number {
    const op = this.f.op(v);
    const access = this.f.imm2(v);
    if (op === Op.Load || op === Op.Store) return this.memoryClass(memIndex(access));
    switch (rawRegion(access)) {
      case Region.ReadOnly:
        return READ_ONLY;
      case Region.MemoryLength:
        return MEMORY_LENGTH;
      case Region.TableDesc:
        return TABLE_DESC;
      case Region.TableElement:
        return TABLE_ELEMENT;
      case Region.Global:
        return op === Op.RawLoad || op === Op.RawStore
          ? IMPORTED_GLOBALS
          : OWN_GLOBALS + (rawSlot(access) & (OWN_GLOBAL_CLASSES - 1));
      default:
        return ARGS;
    }
  }

  /** Set of the classes an instruction may write. */
  writes(v: Value): number {
    const op = this.f.op(v);
    if (!(OP_FLAGS[op]! & OpFlag.Write)) return 0;
    if (op === Op.Store || op === Op.RawStore || op === Op.VmStore) return (1 << this.classOf(v)) & ALL;
    return op === Op.CallBuiltin ? (BUILTIN_WRITES[this.f.imm(v)] ?? ALL) : ALL;
  }

  /** Whether a loop writes what the load v reads. */
  loopWritesTo(loop: number, v: Value): boolean {
    const cls = this.classOf(v);
    return cls !== READ_ONLY && (this.loopWrites[loop]! & (1 << cls)) !== 0;
  }

  // ---- versions
  private forget(classes: number): void {
    for (let c = 0; c < CLASSES; c++) if (classes & (1 << c)) this.current[c] = ++this.lastVersion;
  }

  /**
   * State at the start of a block: what all edges into it agree on.
   * @param visited blocks walked already
   * @param alive whether an edge is still there
   */
  startBlock(cfg: Cfg, b: Block, visited: Uint8Array, alive: (edge: number, to: Block) => boolean): void {
    const { current, exits } = this;
    if (b === 0) return;
    let first = true;
    let unknown = 0;
    for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++) {
      if (!alive(cfg.predEdge[p]!, b)) continue;
      const from = cfg.predBlock[p]!;
      if (visited[from] === 0) {
        // A way back: the loop's writes. Any other way that is not known yet: everything.
        unknown |= cfg.isLoopHeader(b) && cfg.dominates(b, from) ? this.loopWrites[cfg.loopOf[b]!]! : ALL;
        continue;
      }
      const at = from * CLASSES;
      if (first) {
        for (let c = 0; c < CLASSES; c++) current[c] = exits[at + c]!;
        first = false;
      } else {
        for (let c = 0; c < CLASSES; c++) if (current[c] !== exits[at + c]) unknown |= 1 << c;
      }
    }
    this.forget(first ? ALL : unknown);
  }

  endBlock(b: Block): void {
    const at = b * CLASSES;
    for (let c = 0; c < CLASSES; c++) this.exits[at + c] = this.current[c]!;
  }

  // ---- entries
  private hash(version: number, base: number, offset: number, access: number, tag: number): number {
    let h = Math.imul(version + 0x7f4a7c15, 0x9e3779b1) ^ Math.imul(base, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35) + offset;
    h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f) + access;
    h = Math.imul(h ^ (h >>> 15), 0x165667b1) + tag;
    return (h ^ (h >>> 15)) & (this.heads.length - 1);
  }

  private find(version: number, base: number, offset: number, access: number, tag: number): Value {
    const bucket = this.hash(version, base, offset, access, tag);
    let left = MOST_COMPARED;
    for (let e = this.heads[bucket]!; e !== 0 && left > 0; e = this.eBelow[e]!, left--) {
      if (
        this.eVersion[e] === version &&
        this.eBase[e] === base &&
        this.eOffset[e] === offset &&
        this.eAccess[e] === access &&
        this.eTag[e] === tag
      ) {
        return this.eValue[e]!;
      }
    }
    return 0;
  }

  private insert(
    version: number,
    base: number,
    offset: number,
    access: number,
    tag: number,
    value: Value,
  ): void {
    const e = this.count++;
    if (e >= this.eVersion.length) this.growEntries();
    const bucket = this.hash(version, base, offset, access, tag);
    this.eVersion[e] = version;
    this.eBase[e] = base;
    this.eOffset[e] = offset;
    this.eAccess[e] = access;
    this.eTag[e] = tag;
    this.eValue[e] = value;
    this.eBucket[e] = bucket;
    this.eBelow[e] = this.heads[bucket]!;
    this.heads[bucket] = e;
    if (version >= this.newest.length) this.newest = grown(this.newest, version + 1);
    this.eOlder[e] = this.newest[version]!;
    this.newest[version] = e;
  }

  private growEntries(): void {
    const need = this.eVersion.length * 2;
    this.eVersion = grown(this.eVersion, need);
    this.eBase = grown(this.eBase, need);
    this.eOffset = grown(this.eOffset, need);
    this.eAccess = grown(this.eAccess, need);
    this.eTag = grown(this.eTag, need);
    this.eValue = grown(this.eValue, need);
    this.eBucket = grown(this.eBucket, need);
    this.eBelow = grown(this.eBelow, need);
    this.eOlder = grown(this.eOlder, need);
    this.rehash(need);
  }

  /**
   * More buckets: every entry is entered again, oldest first, so that the newest of a bucket is at its head as before.
   */
  private rehash(size: number): void {
    if (size <= this.heads.length || size > 1 << 20) return;
    this.heads = new Int32Array(size);
    for (let e = 1; e < this.count - 1; e++) {
      const bucket = this.hash(
        this.eVersion[e]!,
        this.eBase[e]!,
        this.eOffset[e]!,
        this.eAccess[e]!,
        this.eTag[e]!,
      );
      this.eBucket[e] = bucket;
      this.eBelow[e] = this.heads[bucket]!;
      this.heads[bucket] = e;
    }
  }

  /** Operand A of an access, or -1 for an access to the vmctx, which has a base of its own. */
  private base(v: Value, op: Op): number {
    return op === Op.VmLoad || op === Op.VmStore ? -1 : this.f.a(v);
  }

  /**
   * The value that the load v gives, if it is known: of an earlier load, or of a store of the same type and width. 0 if
   * not; the load should then be entered.
   */
  findLoad(v: Value): Value {
    const { f } = this;
    const op = f.op(v);
    return this.find(
      this.current[this.classOf(v)]!,
      this.base(v, op),
      f.imm(v),
      this.loadAccess(op, f.imm2(v)),
      op | (f.type(v) << 16),
    );
  }

  /** The value whose low bits were stored where the narrow load v reads the same number of bits; or 0. */
  findNarrowStore(v: Value): Value {
    const { f } = this;
    const op = f.op(v);
    const kind = op === Op.Load ? memKind(f.imm2(v)) : rawKind(f.imm2(v));
    if (kind === MemKind.Full) return 0;
    const tag = NARROW_STORE | op | (f.type(v) << 16);
    return this.find(
      this.current[this.classOf(v)]!,
      this.base(v, op),
      f.imm(v),
      this.storeAccess(op, f.imm2(v)),
      tag,
    );
  }

  enterLoad(v: Value): void {
    const { f } = this;
    const op = f.op(v);
    const access = this.loadAccess(op, f.imm2(v));
    this.insert(
      this.current[this.classOf(v)]!,
      this.base(v, op),
      f.imm(v),
      access,
      op | (f.type(v) << 16),
      v,
    );
  }

  /**
   * What tells loads of one address and type apart: the kind, and which memory. A raw load's trap code is no part of
   * it.
   */
  private loadAccess(op: Op, access: number): number {
    return op === Op.Load ? access : (rawKind(access) << 8) | rawRegion(access);
  }
  /** The same for narrow stores, where signed and unsigned kinds write the same bytes. */
  private storeAccess(op: Op, access: number): number {
    const kind = op === Op.Load || op === Op.Store ? memKind(access) : rawKind(access);
    const unsigned = kind === MemKind.S8 || kind === MemKind.S16 || kind === MemKind.S32 ? kind + 1 : kind;
    return op === Op.Load || op === Op.Store
      ? (access & ~0xff) | unsigned
      : (unsigned << 8) | rawRegion(access);
  }

  /** Whether the store v, of `value`, writes what is known to be there. */
  isRedundantStore(v: Value, value: Value): boolean {
    const { f } = this;
    const op = f.op(v);
    const load = loadOf(op);
    const access = f.imm2(v);
    const version = this.current[this.classOf(v)]!;
    const type = f.type(value);
    const kind = op === Op.Store ? memKind(access) : rawKind(access);
    if (kind === MemKind.Full) {
      return (
        this.find(version, this.base(v, op), f.imm(v), this.loadAccess(load, access), load | (type << 16)) ===
        value
      );
    }
    const tag = NARROW_STORE | load | (type << 16);
    return this.find(version, this.base(v, op), f.imm(v), this.storeAccess(op, access), tag) === value;
  }

  /**
   * Account for the store v of `value`: a new version, with the entries that it surely leaves alone and one of its own.
   */
  store(v: Value, value: Value): void {
    const { f } = this;
    const op = f.op(v);
    const cls = this.classOf(v);
    const access = f.imm2(v);
    const load = loadOf(op);
    const base = this.base(v, op);
    const offset = f.imm(v);
    const type = f.type(value);
    const kind = op === Op.Store ? memKind(access) : rawKind(access);
    const size = accessSize(kind, type);
    const old = this.current[cls]!;
    const version = (this.current[cls] = ++this.lastVersion);
    let looked = 0;
    const none = old < this.newest.length ? this.newest[old]! : 0;
    for (let e = none; e !== 0 && looked < CARRY_LIMIT; e = this.eOlder[e]!, looked++) {
      if (this.eBase[e] !== base || (this.eTag[e]! & 0xfff) !== load) continue;
      if (op === Op.Store && memIndex(this.eAccess[e]!) !== memIndex(access)) continue;
      // Same base: addresses are base + offset without wrapping (wasm traps; vmctx and runtime pointers don't come near
      // the end), so ranges of offsets that don't meet are bytes that don't meet.
      const other = this.eOffset[e]!;
      const otherKind = load === Op.Load ? memKind(this.eAccess[e]!) : (this.eAccess[e]! >>> 8) & 7;
      const otherSize = accessSize(otherKind, (this.eTag[e]! >>> 16) & 0xff);
      const lo = load === Op.Load ? offset >>> 0 : offset;
      const otherLo = load === Op.Load ? other >>> 0 : other;
      if (lo + size <= otherLo || otherLo + otherSize <= lo) {
        this.insert(version, base, other, this.eAccess[e]!, this.eTag[e]!, this.eValue[e]!);
      }
    }
    if (kind === MemKind.Full) {
      this.insert(version, base, offset, this.loadAccess(load, access), load | (type << 16), value);
    } else {
      this.insert(
        version,
        base,
        offset,
        this.storeAccess(op, access),
        NARROW_STORE | load | (type << 16),
        value,
      );
    }
  }

  /** Account for anything else that may write. */
  clobber(v: Value): void {
    this.forget(this.writes(v));
  }
}

function loadOf(store: Op): Op {
  return store === Op.Store
    ? Op.Load
    : store === Op.RawStore
      ? Op.RawLoad
      : store === Op.VmStore
        ? Op.VmLoad
        : store;
}
