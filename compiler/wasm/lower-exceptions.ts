/**
 * Exceptions: `throw`, `throw_ref`, `try_table`.
 *
 * A call inside of a `try_table` ends its block with an Invoke: control goes on behind it, or, when the call throws, to
 * the *landing pad* of the innermost try_table, with the exception and the number of the clause that catches it. Which
 * clause that is has been found by the runtime, which has the clauses as a table (Func.scopes); the pad only goes
 * there. A clause of a try_table further out is reached through the pads in between. Entering a try_table costs
 * nothing: no code stands for it.
 *
 * A throw whose clause is known in the function itself, and that wants no reference to the exception, is a branch.
 */

import { builtinId } from '../abi/builtins.ts';
import { EXCEPTION } from '../abi/exceptions.ts';
import { TrapCode } from '../abi/traps.ts';
import type { Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { settle } from './count.ts';
import { LIMITS, overLimit } from './limits.ts';
import { leaveTo, openBlock } from './lower-control.ts';
import { ValType } from './module.ts';
import { EDGE_B, EDGE_C } from './ssa.ts';
import { irType, typeName } from './types.ts';
import { FrameKind, type Walk } from './walk.ts';

const THROW = builtinId('throw');
const THROW_REF = builtinId('throw_ref');

const enum CatchKind {
  Catch = 0,
  CatchRef = 1,
  CatchAll = 2,
  CatchAllRef = 3,
}

interface Clause {
  readonly kind: CatchKind;
  /** -1: any */
  readonly tag: number;
  readonly frame: number;
}

/** A try_table with clauses that is open, in code that can be reached. */
export interface OpenTry {
  readonly scope: number;
  /** Of its landing pad; columns: the exception, the clause. */
  readonly pad: number;
  /** Up to the first one that catches everything. */
  readonly clauses: readonly Clause[];
  readonly outer: OpenTry | null;
}

const PAD_TYPES: readonly ValType[] = [ValType.ExnRef, ValType.I32];
/** Values of the two columns. */
const caught = new Int32Array(2);

function payloadTypes(w: Walk, tag: number): readonly ValType[] {
  return w.module.types[w.module.tags[tag]!]!.params;
}

/** Bytes of the words that hold values of the types: as in an argument array. */
function payloadSize(types: readonly ValType[]): number {
  let size = 0;
  for (const t of types) size += t === ValType.V128 ? 16 : 8;
  return size;
}

// ---- throwing
function checkTag(w: Walk): number {
  const tag = w.r.u32();
  w.checkIndex('tag', tag, w.module.tags.length);
  return tag;
}

function neverReturns(w: Walk, id: number, args: readonly Value[]): void {
  const { ssa } = w;
  settle(w);
  const call = ssa.emit(Op.CallBuiltin, Type.None, 0, ssa.func.listOf(args), 0, id, 0);
  invoke(w, call);
  ssa.terminate(Op.Trap, 0, 0, 0, TrapCode.Unreachable);
}

export function throwTag(w: Walk): void {
  const { ssa } = w;
  const tag = checkTag(w);
  const types = payloadTypes(w, tag);
  w.popAll(types);
  const clause = ssa.live ? clauseFor(w, tag) : null;
  if (clause) {
    w.count('throw-branch');
    leaveTo(w, clause.frame, w.labelTypes(clause.frame), w.sp);
  } else if (ssa.live) {
    const address = types.length === 0 ? ssa.int(Type.I64, 0) : storePayload(w, types);
    neverReturns(w, THROW, [ssa.int(Type.I32, tag), address]);
  }
  w.setUnreachable();
}

/** Clauses that a throw looks at; otherwise many throws inside of many clauses would be quadratic. */
const MOST_LOOKED_AT = 256;

/**
 * The clause of this function that catches what is thrown here, if that is certain and it brings no reference; else
 * null. Two imported tags may be one tag; any other two are two.
 */
function clauseFor(w: Walk, tag: number): Clause | null {
  const { importedTags } = w.module;
  let looked = 0;
  for (let open = w.openTry; open; open = open.outer) {
    for (const clause of open.clauses) {
      if (++looked > MOST_LOOKED_AT) return null;
      if (clause.tag < 0 || clause.tag === tag) {
        return clause.kind === CatchKind.Catch || clause.kind === CatchKind.CatchAll ? clause : null;
      }
      if (clause.tag < importedTags && tag < importedTags) return null;
    }
  }
  return null;
}

/** The values at `vals[sp…]`, in a stack slot that all throws of the function share: its address. */
function storePayload(w: Walk, types: readonly ValType[]): Value {
  const { ssa } = w;
  const { slots } = ssa.func;
  if (w.payloadSlot < 0) w.payloadSlot = slots.push(0) - 1;
  slots[w.payloadSlot] = Math.max(slots[w.payloadSlot]!, (payloadSize(types) + 15) & ~15);
  const address = ssa.emit(Op.SlotAddr, Type.I64, 0, 0, 0, w.payloadSlot, 0);
  const access = rawAccess(Region.Args, MemKind.Full);
  let at = 0;
  types.forEach((t, i) => {
    ssa.emit(Op.RawStore, Type.None, address, w.vals[w.sp + i]!, 0, at, access);
    at += t === ValType.V128 ? 16 : 8;
  });
  return address;
}

export function throwRef(w: Walk): void {
  const exception = w.pop(ValType.ExnRef);
  if (w.ssa.live) neverReturns(w, THROW_REF, [exception]);
  w.setUnreachable();
}

// ---- catching
/** Behind a call (and its results): if it stands in a try_table, the block ends here. */
export function invoke(w: Walk, call: Value): void {
  const { ssa } = w;
  const open = w.openTry;
  if (!open) return;
  const { func } = ssa;
  caught[0] = ssa.emit(Op.Caught, Type.Ref, call, 0, 0, 0, 0);
  caught[1] = ssa.emit(Op.Caught, Type.I32, call, 0, 0, 1, 0);
  const next = func.newBlock();
  const term = ssa.terminate(Op.Invoke, 0, func.newEdge(next), 0, open.scope);
  ssa.branch(open.pad, term, EDGE_C, caught, 0);
  ssa.enter(next);
}

/** What a clause brings to its label. */
function broughtTypes(w: Walk, kind: CatchKind, tag: number): readonly ValType[] {
  const types = tag < 0 ? [] : payloadTypes(w, tag);
  const withRef = kind === CatchKind.CatchRef || kind === CatchKind.CatchAllRef;
  return withRef ? [...types, ValType.ExnRef | ValType.NonNull] : types;
}

function readClause(w: Walk): Clause {
  const { r } = w;
  const at = r.pos;
  const kind = r.u8();
  if (kind > CatchKind.CatchAllRef) r.fail('malformed catch clause', at);
  const tag = kind <= CatchKind.CatchRef ? checkTag(w) : -1;
  const frame = w.frameOf(r.u32());
  const brought = broughtTypes(w, kind, tag);
  const expected = w.labelTypes(frame);
  if (brought.length !== expected.length || !brought.every((t, i) => w.matches(t, expected[i]!))) {
    const list = (types: readonly ValType[]) => `[${types.map(typeName).join(' ')}]`;
    w.fail(`type mismatch: a catch clause brings ${list(brought)} to a label of ${list(expected)}`);
  }
  return { kind, tag, frame };
}

export function tryTable(w: Walk): void {
  const { ssa, r, assigned } = w;
  const construct = w.constructs;
  const live = ssa.live;
  openBlock(w, FrameKind.TryTable, () => {
    const clauses: Clause[] = [];
    let open = true;
    for (let n = r.u32(); n > 0; n--) {
      if (++w.clauses > LIMITS.catchClauses) {
        overLimit('too many catch clauses in a function', LIMITS.catchClauses, w.at, r.func);
      }
      const clause = readClause(w);
      if (open) clauses.push(clause);
      if (clause.tag < 0) open = false;
    }
    if (clauses.length === 0 || !live) return null;
    const { scopes } = ssa.func;
    const outer = w.openTry;
    const last = scopes[scopes.length - 1];
    scopes.push({
      parent: outer ? outer.scope : -1,
      first: last ? last.first + last.tags.length : 0,
      tags: clauses.map(c => c.tag),
    });
    const pad = ssa.newLabel(PAD_TYPES, assigned.start[construct]!, assigned.length[construct]!);
    return { scope: scopes.length - 1, pad, clauses, outer };
  });
}

/**
 * At the end of a try_table: its landing pad, if any call or throw inside of it was reached. The values of its
 * `results` results stand at `vals[sp…]` and stay there.
 */
export function landingPad(w: Walk, open: OpenTry, results: number): void {
  const { ssa } = w;
  w.openTry = open.outer;
  if (!ssa.hasEdges(open.pad)) return;
  const live = ssa.live;
  const here = ssa.block;
  const row = live ? ssa.saveRow(open.pad, 0, caught, 0) : 0;
  ssa.join(open.pad, caught, 0);
  w.sp += results;
  dispatch(w, open, caught[0]!, caught[1]!);
  w.sp -= results;
  if (live) {
    ssa.restore(open.pad, row, 0, caught, 0);
    ssa.enter(here);
  } else ssa.live = false;
}

/** Go to the clause that was found, or to the landing pad of the try_table around this one. */
function dispatch(w: Walk, open: OpenTry, exception: Value, number: Value): void {
  const { ssa } = w;
  const { func } = ssa;
  const { clauses, outer } = open;
  // An exception that comes here is caught by one of the clauses, or further out.
  const passes = outer !== null && clauses[clauses.length - 1]!.tag >= 0;
  const targets = clauses.length + (passes ? 1 : 0);
  if (targets > 1) {
    const { first } = func.scopes[open.scope]!;
    const index =
      first === 0 ? number : ssa.emit(Op.Sub, Type.I32, number, ssa.int(Type.I32, first), 0, 0, 0);
    const list = func.newList(targets);
    ssa.terminate(Op.BrTable, index, list, 0, 0);
    for (let k = 0; k < targets; k++) {
      // First the edge: making it may replace the pool.
      const edge = func.newEdge(func.newBlock());
      func.pool[list + 1 + k] = edge;
    }
    for (let k = 0; k < targets; k++) {
      ssa.enter(func.edgeTarget(func.pool[list + 1 + k]!));
      if (k < clauses.length) enterClause(w, clauses[k]!, exception);
      else passOn(w, outer!, exception, number);
    }
  } else enterClause(w, clauses[0]!, exception);
}

function passOn(w: Walk, outer: OpenTry, exception: Value, number: Value): void {
  const { ssa } = w;
  caught[0] = exception;
  caught[1] = number;
  ssa.branch(outer.pad, ssa.terminate(Op.Jump, 0, 0, 0, 0), EDGE_B, caught, 0);
}

/** What the exception holds never changes. */
function enterClause(w: Walk, { kind, tag, frame }: Clause, exception: Value): void {
  const { ssa } = w;
  const from = w.sp;
  const access = rawAccess(Region.ReadOnly, MemKind.Full);
  let at: number = EXCEPTION.PAYLOAD;
  for (const t of tag < 0 ? [] : payloadTypes(w, tag)) {
    w.push(t, ssa.emit(Op.RawLoad, irType(t), exception, 0, 0, at, access));
    at += t === ValType.V128 ? 16 : 8;
  }
  if (kind === CatchKind.CatchRef || kind === CatchKind.CatchAllRef) w.push(ValType.ExnRef, exception);
  leaveTo(w, frame, w.labelTypes(frame), from);
  w.sp = from;
}
