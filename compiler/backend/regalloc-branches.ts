/**
 * Moves of an edge out of a conditional branch, put in front of the branch.
 *
 * Such an edge has a block for its moves. Where that block does not fall through, as at the end of a loop, it costs a
 * jump each time:
 *
 *     je out                 move
 *     move           ->      jne head
 *     jmp head               out:
 *     out:
 *
 * Safe where no register that the moves write holds anything that is wanted on the other edge: the branch itself reads
 * no registers, and edits leave the flags alone. Edges with moves to slots stay as they are: what a slot holds at a
 * place is not known here.
 */
import type { Flow } from './liveness.ts';
import { M_FLAGS, M_OPDS, type MachFunc, MFlag, MROW } from './mach.ts';

/** Moves between registers that the other edge is burdened with if it is taken as often. */
const BURDEN = 2;

/** A branch and one of its edges. */
export interface BranchEdge {
  /** The branch's row, and its block. */
  readonly branch: number;
  readonly block: number;
  /** Row of the block that holds the edge's moves and a jump. */
  readonly moves: number;
  /** The other edge, and its target. */
  readonly edge: number;
  readonly other: number;
  /** How many moves there may be, and whether they may read memory. */
  readonly burden: number;
  readonly loads: boolean;
  /** Registers that the moves write, by class: one bit each. */
  readonly written: [number, number];
}

/**
 * Edges whose moves might go in front of their branch, in the order of the branches. `eager`: whether or not they are
 * the more frequent ones.
 */
export function branchEdges(m: MachFunc, flow: Flow, eager: boolean): BranchEdge[] {
  const found: BranchEdge[] = [];
  for (let block = 0; block < m.blockCount; block++) {
    const first = m.succStart[block];
    if (m.succStart[block + 1] - first !== 2) continue;
    const branch = m.blockStart[block + 1] - 1;
    if (m.insts[branch * MROW + M_OPDS] !== 0 || m.insts[branch * MROW + M_FLAGS] & MFlag.Call) continue;
    for (let edge = first; edge < first + 2; edge++) {
      const target = m.edgeTarget[edge === first ? first + 1 : first];
      const other = m.edgeTarget[edge];
      const more = eager ? 1 : flow.freq[target] - flow.freq[other];
      if (more < 0 || target <= block || !onlyJumps(m, target)) continue;
      const burden = more > 0 ? Number.MAX_SAFE_INTEGER : BURDEN;
      const moves = m.blockStart[target];
      found.push({ branch, block, moves, edge, other, burden, loads: more > 0, written: [0, 0] });
    }
  }
  return found;
}

/** Whether a block holds nothing but a jump to somewhere else than the next block. */
function onlyJumps(m: MachFunc, b: number): boolean {
  const row = m.blockStart[b];
  if (m.blockStart[b + 1] - row !== 1 || m.succStart[b + 1] - m.succStart[b] !== 1) return false;
  return m.insts[row * MROW + M_OPDS] === 0 && m.edgeTarget[m.succStart[b]] !== b + 1;
}
