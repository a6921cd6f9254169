/**
 * `--count-instructions`: what a run costs, in operators, counted in the vmctx (INSTRUCTION_COUNT), and a place to
 * yield once a bound is spent.
 *
 * Costs are those of the original Lucet. They are summed up while a sequence is read and added to the counter where it
 * ends: before each branch, call, return, throw and `unreachable`, the operator itself included, and before a loop
 * begins. So the count is exact wherever control leaves a function, and where it traps on purpose (`unreachable`, the
 * checks of an indirect call); a fault in the middle of a sequence leaves out what the sequence has cost so far.
 *
 * The bound is looked at before calls, returns, `br_table`, and branches back to a loop.
 */
import { builtinId } from '../abi/builtins.ts';
import { VMCTX } from '../abi/vmctx.ts';
import type { Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { emitBuiltin } from './lower-memory.ts';
import { Code } from './opcodes.ts';
import type { Walk } from './walk.ts';

const YIELD_BOUND = builtinId('yield_bound');
/** Written by whatever a call reaches, as everything but what is read-only. */
const COUNTER = rawAccess(Region.Args, MemKind.Full);
const UNLIKELY = 2;

export function costOf(code: number): number {
  switch (code) {
    case Code.Nop:
    case Code.Drop:
    case Code.Block:
    case Code.Loop:
    case Code.Else:
    case Code.End:
    case Code.TryTable:
      return 0;
    case Code.CallIndirect:
    case Code.ReturnCallIndirect:
    case Code.BrTable:
      return 2;
    default:
      return 1;
  }
}

function counter(w: Walk): Value {
  return w.ssa.emit(Op.VmLoad, Type.I64, 0, 0, 0, -VMCTX.INSTRUCTION_COUNT, COUNTER);
}

/** Add what the sequence has cost so far. Only while live. */
export function settle(w: Walk): void {
  if (w.pendingCost === 0) return;
  const { ssa } = w;
  const sum = ssa.emit(Op.Add, Type.I64, counter(w), ssa.int(Type.I64, w.pendingCost), 0, 0, 0);
  ssa.emit(Op.VmStore, Type.None, sum, 0, 0, -VMCTX.INSTRUCTION_COUNT, COUNTER);
  w.pendingCost = 0;
}

/** The same, and yield if the bound is spent. */
export function settleAndYield(w: Walk): void {
  if (!w.options.countInstructions) return;
  settle(w);
  const { ssa } = w;
  const { func } = ssa;
  const bound = ssa.emit(Op.VmLoad, Type.I64, 0, 0, 0, -VMCTX.INSTRUCTION_BOUND, COUNTER);
  const spent = ssa.emit(Op.GeU, Type.I32, counter(w), bound, 0, 0, 0);
  const slow = func.newBlock();
  const next = func.newBlock();
  ssa.terminate(Op.BrIf, spent, func.newEdge(slow), func.newEdge(next), UNLIKELY);
  ssa.enter(slow);
  emitBuiltin(w, YIELD_BOUND, Type.None, []);
  ssa.terminate(Op.Jump, 0, func.newEdge(next), 0, 0);
  ssa.enter(next);
}
