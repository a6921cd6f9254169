/** Data breakpoints: which bytes a variable is, whose frame they belong to, and what is told when they change. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { type Value, wordBytes } from '../compiler/debuginfo/values.ts';
import { bitsText } from '../runtime/debug.ts';
import { counts } from './breakpoints.ts';
import { Evaluator, ExpressionError } from './evaluate.ts';
import type { Frames, ShownFrame } from './frames.ts';
import type { DebugTarget, TargetFrame, WatchedPlace } from './target.ts';

/** Something that could be watched. */
export type Watchable =
  | { readonly kind: 'value'; readonly value: Value }
  /** A local or global of WebAssembly's, with the code of its type. */
  | { readonly kind: 'local' | 'global'; readonly index: number; readonly type: number };

/** What a data id stands for. */
interface Description {
  readonly label: string;
  readonly place: WatchedPlace;
  /** It is gone with this frame. */
  readonly owner: TargetFrame | null;
  readonly ownerName: string;
  readonly show: (bits: bigint) => string;
  /** Why there is nothing to watch any more. */
  gone: string | null;
}

interface Watched {
  readonly id: number;
  readonly number: number;
  readonly what: Description;
  readonly condition: string;
  readonly hitCondition: string;
  hits: number;
  /** The user knows that it does nothing. */
  told: boolean;
}

/** A stop for data breakpoints. */
export interface DataHit {
  readonly ids: readonly number[];
  /** `x changed from 1 to 2` */
  readonly description: string;
  readonly messages: readonly string[];
}

type Info = DebugProtocol.DataBreakpointInfoResponse['body'];

const SIZES = [1, 2, 4, 8];
/** i32 and f32; i64 and f64. */
const WASM_SIZES: Readonly<Record<number, number>> = { 1: 4, 2: 8, 3: 4, 4: 8 };
/** Ids of other breakpoints count from 1. */
const FIRST_ID = 1_000_000_000;
/** Descriptions of what nobody has set are forgotten, oldest first. */
const MAX_DESCRIPTIONS = 1_000;

const refused = (description: string): Info => ({ dataId: null, description });

export class DataBreakpoints {
  private readonly described = new Map<string, Description>();
  private set: Watched[] = [];
  private nextId = FIRST_ID;
  private nextData = 1;

  constructor(
    private readonly target: DebugTarget,
    private readonly frames: Frames,
  ) {}

  /** What the editor asks before it offers to break on a variable. @param label an expression for it, or its name */
  info(label: string, what: Watchable, frame: ShownFrame): Info {
    const { watchpoints } = this.target;
    if (watchpoints === null) return refused('only debug code that runs here can be watched');
    const found = what.kind === 'value' ? this.ofValue(what.value, frame) : this.ofMachine(what, frame);
    if (typeof found === 'string') return refused(`${label}: ${found}`);
    const owner = found.place.kind === 'memory' ? this.ownerOf(found.place, frame) : found.owner;
    return this.offer({ ...found, label, owner: owner?.target ?? null, ownerName: owner?.name ?? '' }, false);
  }

  /** Of bytes of the memory, by their address. */
  atAddress(text: string, size: number): Info {
    if (this.target.watchpoints === null) return refused('only debug code that runs here can be watched');
    const address = /^\s*(?:0x[\da-f]+|\d+)\s*$/i.test(text) ? Number(text) : NaN;
    if (!Number.isSafeInteger(address)) return refused(`${text} is no address in the memory`);
    const place: WatchedPlace = { kind: 'memory', address, size };
    const problem = sizeProblem(size) ?? alignmentProblem(address, size);
    if (problem !== null) return refused(`0x${address.toString(16)}: ${problem}`);
    const show = (bits: bigint): string => `0x${bits.toString(16)}`;
    const label = `${size === 1 ? 'the byte' : `${size} bytes`} at 0x${address.toString(16)}`;
    return this.offer({ label, place, owner: null, ownerName: '', show }, true);
  }

  private offer(what: Omit<Description, 'gone'>, isAddress: boolean): Info {
    const { place } = what;
    // Addresses mean the same in the next session; what is behind a variable may not.
    const dataId =
      isAddress && place.kind === 'memory' ? `${place.address}:${place.size}` : `#${this.nextData++}`;
    this.described.set(dataId, { ...what, gone: null });
    const used = new Set(this.set.map(s => s.what));
    for (const [id, d] of this.described) {
      if (this.described.size <= MAX_DESCRIPTIONS) break;
      if (!used.has(d)) this.described.delete(id);
    }
    return { dataId, description: what.label, accessTypes: ['write', 'readWrite'], canPersist: isAddress };
  }

  private ofValue(
    given: Value,
    frame: ShownFrame,
  ): (Pick<Description, 'place' | 'show'> & { owner: ShownFrame | null }) | string {
    const values = this.frames.values(frame);
    const value = given.type.plain.kind === 'reference' ? (values.deref(given) ?? given) : given;
    const { type, place } = value;
    if (value.bits !== null) return 'a bit field shares its bytes with others';
    const size = values.size(type);
    const show = (bits: bigint): string =>
      values.describe({ type, place: { kind: 'bytes', bytes: wordBytes(bits, size) }, bits: null });
    const problem = sizeProblem(size);
    switch (place.kind) {
      case 'memory': {
        const misplaced = problem ?? alignmentProblem(place.address, size);
        return misplaced ?? { place: { kind: 'memory', address: place.address, size }, show, owner: null };
      }
      case 'local':
        if (problem !== null) return problem;
        return {
          place: { kind: 'local', frame: frame.target, index: place.index, size },
          show,
          owner: frame,
        };
      case 'global':
        return problem ?? { place: { kind: 'global', index: place.index, size }, show, owner: null };
      case 'missing':
        return place.why;
      default:
        return 'it has a value, but is kept nowhere that could be watched';
    }
  }

  private ofMachine(
    { kind, index, type }: Exclude<Watchable, { kind: 'value' }>,
    frame: ShownFrame,
  ): (Pick<Description, 'place' | 'show'> & { owner: ShownFrame | null }) | string {
    const size = WASM_SIZES[type];
    if (size === undefined) return 'only i32, i64, f32 and f64 can be watched';
    const show = (bits: bigint): string => bitsText(bits, type);
    return kind === 'global'
      ? { place: { kind, index, size }, show, owner: null }
      : { place: { kind, index, size, frame: frame.target }, show, owner: frame };
  }

  /** The frame that has a variable there. */
  private ownerOf(place: { readonly address: number }, frame: ShownFrame): ShownFrame | null {
    const { debug } = this.target.symbols;
    if (debug === null) return null;
    for (const f of this.frames.of(frame.thread)) {
      if (f.call === null) continue;
      // What is found without the frame's registers is a static.
      let isFrames = false;
      const using = <T>(v: T): T => {
        isFrames = true;
        return v;
      };
      const { reader } = f;
      const seen = {
        ...reader,
        local: (i: number) => using(reader.local(i)),
        global: (i: number) => using(reader.global(i)),
        operand: (i: number) => using(reader.operand(i)),
      };
      const values = this.frames.values(f);
      for (const v of debug.variables(f.call)) {
        isFrames = false;
        const at = debug.locate(v, f.call, f.codeOffset, seen);
        if (at.kind !== 'memory' || !isFrames) continue;
        const behind = place.address - at.address;
        if (behind >= 0 && behind < Math.max(values.size(v.type), 1)) return f;
      }
    }
    return null;
  }

  replace(wanted: readonly DebugProtocol.DataBreakpoint[]): DebugProtocol.Breakpoint[] {
    for (const old of this.set) this.target.watchpoints?.clear(old.number);
    this.set = [];
    return wanted.map((b): DebugProtocol.Breakpoint => {
      const id = this.nextId++;
      const message = this.add(id, b);
      return message === null ? { id, verified: true } : { id, verified: false, message };
    });
  }

  /** Why it can't be; null: it is set. */
  private add(id: number, b: DebugProtocol.DataBreakpoint): string | null {
    const { watchpoints } = this.target;
    if (watchpoints === null) return 'Only debug code that runs here can be watched.';
    const address = /^(\d+):(\d+)$/.exec(b.dataId);
    if (address !== null) this.atAddress(address[1]!, Number(address[2]));
    const what = this.described.get(b.dataId);
    if (what === undefined) return 'This was set in a session that is over: set it again.';
    if (what.gone !== null) return what.gone;
    const number = this.set.length;
    if (number >= watchpoints.count)
      return `The processor watches ${watchpoints.count} places at most: remove another data breakpoint.`;
    const accesses = b.accessType === 'read' || b.accessType === 'readWrite';
    const refusal = watchpoints.set(number, what.place, accesses, what.owner);
    if (refusal !== null) return `${what.label} can't be watched: ${refusal}`;
    const { condition = '', hitCondition = '' } = b;
    this.set.push({ id, number, what, condition, hitCondition, hits: 0, told: false });
    return null;
  }

  /** Their frame is gone. */
  left(numbers: readonly number[]): DebugProtocol.Breakpoint[] {
    return this.set
      .filter(s => numbers.includes(s.number) && s.what.gone === null)
      .map(s => {
        s.what.gone = `${s.what.label} is gone: ${s.what.ownerName} has returned.`;
        return { id: s.id, verified: false, message: s.what.gone };
      });
  }

  /** Those that the system turned out not to give, once each. */
  problems(): DebugProtocol.Breakpoint[] {
    return this.set.flatMap(s => {
      const problem = s.told || s.what.gone !== null ? null : this.target.watchpoints!.problem(s.number);
      if (problem === null) return [];
      s.told = true;
      return [{ id: s.id, verified: false, message: `${s.what.label} is not watched any more: ${problem}` }];
    });
  }

  /** The guest stopped for some of them. No ids: it goes on. */
  hit(thread: number): DataHit {
    const ids: number[] = [];
    const lines: string[] = [];
    const messages: string[] = [];
    for (const s of this.set) {
      const hit = s.what.gone === null ? this.target.watchpoints!.hit(s.number) : null;
      if (hit === null) continue;
      try {
        const [frame] = this.frames.of(thread);
        const holds = s.condition === '' || frame === undefined;
        if (!holds && !new Evaluator(this.target, this.frames, frame).isTrue(s.condition)) continue;
      } catch (e) {
        if (!(e instanceof ExpressionError)) throw e;
        // A condition that makes no sense here stops: its author has to see that.
        messages.push(`breakpoint condition "${s.condition}": ${e.message}\n`);
      }
      s.hits++;
      if (!counts(s.hitCondition, s.hits)) continue;
      ids.push(s.id);
      const { label, show } = s.what;
      const now = show(hit.after);
      lines.push(
        hit.before === hit.after
          ? `${label} was accessed, and is ${now}`
          : `${label} changed from ${show(hit.before)} to ${now}`,
      );
    }
    return { ids, description: lines.join('; '), messages };
  }
}

function sizeProblem(size: number): string | null {
  if (SIZES.includes(size)) return null;
  const advice = size > 8 ? ': choose a part of it' : '';
  return `the processor watches 1, 2, 4 or 8 bytes, and it has ${size}${advice}`;
}

function alignmentProblem(address: number, size: number): string | null {
  return address % size === 0
    ? null
    : `the processor watches ${size} bytes only at a multiple of ${size}, and it is at 0x${address.toString(16)}`;
}
