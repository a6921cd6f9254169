/** What the script interpreter asks of a WebAssembly engine. */
import { TRAPS } from '../../compiler/abi/traps.ts';
import type { Value } from './values.ts';

export type FailureKind =
  | 'malformed'
  | 'invalid'
  /** Needs a feature that the engine does not have. */
  | 'unsupported'
  /** Over a limit that an implementation may have. */
  | 'limit'
  | 'unlinkable'
  | 'trap'
  | 'exhaustion'
  | 'exception';

/** How an engine says that a module or a call failed as wasm can fail. Anything else that is thrown is a defect. */
export class EngineFailure extends Error {
  override readonly name = 'EngineFailure';
  /**
   * @param traps names of the trap codes it may be: more than one where the engine does not tell them apart
   * @param wording the suite's wording of a link error, where the engine follows it
   */
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly traps: readonly string[] = [],
    readonly wording: string | null = null,
  ) {
    super(message);
  }
}

/** An engine's state for one script. M: compiled module; I: instance. All methods throw EngineFailure. */
export interface Session<M, I> {
  compile(bytes: Uint8Array): M;
  /** Module names that it imports from. */
  importedModules(module: M): readonly string[];
  /** Links against `spectest` and the registered instances, and runs the start function. */
  instantiate(module: M, registered: ReadonlyMap<string, I>): I;
  /** Calls an export. */
  invoke(instance: I, field: string, args: readonly Value[]): Value[];
  /** Reads an exported global. */
  get(instance: I, field: string): Value;
  close(): void;
}

export interface Engine<M, I> {
  readonly name: string;
  /** Features beyond Wasm 2.0 without SIMD, named as in the scripts. */
  readonly features: ReadonlySet<string>;
  /**
   * Features of which it has a part: their modules are tried, and skipped if they turn out to need more. It accepts
   * what older editions reject (`valid_with` in the scripts).
   */
  readonly partial: ReadonlySet<string>;
  /** Does it tell malformed modules from invalid ones? */
  readonly separatesMalformed: boolean;
  /** Flags for the process that runs it. */
  readonly nodeFlags: readonly string[];
  open(): Session<M, I>;
}

/** Wordings of the suite that are not the start of a trap's own: the wording they stand for. */
const WORDING_ALIASES: readonly (readonly [string, string])[] = [
  ['undefined element', 'out of bounds table access'],
  ['null descriptor reference', 'null reference'],
  ['null function reference', 'null reference'],
  ['null structure reference', 'null reference'],
  ['null array reference', 'null reference'],
  ['null i31 reference', 'null reference'],
  ['descriptor cast failure', 'cast failure'],
];

/** The name of the trap code that a script's `text` asks for. */
export function trapNamed(text: string): string {
  const alias = WORDING_ALIASES.find(([prefix]) => text.startsWith(prefix));
  const wording = alias?.[1] ?? text;
  const trap = TRAPS.find(t => t.spec !== '' && wording.startsWith(t.spec));
  if (trap === undefined) throw new Error(`no trap code for "${text}"`);
  return trap.name;
}
