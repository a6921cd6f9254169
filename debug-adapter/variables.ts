/**
 * Scopes and variables: a stopped frame's, and what they are made of. References are handed out as they are shown, and
 * gone at the next run.
 */
import { Scope } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { shortTypeName } from '../compiler/debuginfo/type-names.ts';
import type { Children, Entry, Value, Values } from '../compiler/debuginfo/values.ts';
import { typeName } from '../compiler/wasm/types.ts';
import { bitsText } from '../runtime/debug.ts';
import type { Watchable } from './data-breakpoints.ts';
import { asType, Evaluator, ExpressionError, type Result, withPointee } from './evaluate.ts';
import type { Frames, ShownFrame } from './frames.ts';
import type { DebugTarget } from './target.ts';

/** One line of a scope. */
interface Item {
  readonly name: string;
  readonly text: string;
  readonly type: string;
  /** To be taken apart. */
  readonly value: Value | null;
  /** An expression for it; '' where there is none. */
  readonly path: string;
  /** What setting it sets; null: it can't be set. */
  readonly target: Result | null;
  /** What a data breakpoint could watch; null: nothing. */
  readonly watchable: Watchable | null;
}

/** What a reference stands for. */
interface Container {
  readonly frame: ShownFrame;
  readonly named: () => readonly Item[];
  readonly indexed: number;
  readonly item: (i: number) => Item;
}

/** Numbered children that one request gets without asking for fewer. */
const MAX_CHILDREN = 1_000;
/** … and with: an array may claim 2^32 elements. */
const MOST_CHILDREN = 20_000;
const MAX_LOCALS = 1_000;
const GONE = 'this belongs to a stop that is over';

export class Variables {
  private readonly handles = new Map<number, Container>();
  /** Never given twice: what belonged to an earlier stop is known for that. */
  private nextHandle = 1_000;

  constructor(
    private readonly target: DebugTarget,
    private readonly frames: Frames,
  ) {}

  clear(): void {
    this.handles.clear();
  }

  private hold(container: Container): number {
    const reference = this.nextHandle++;
    this.handles.set(reference, container);
    return reference;
  }

  scopes(frame: ShownFrame): DebugProtocol.Scope[] {
    const scopes: DebugProtocol.Scope[] = [];
    const add = (name: string, hint: string, expensive: boolean, named: () => readonly Item[]): void => {
      const container: Container = { frame, named, indexed: 0, item: () => named()[0]! };
      const scope: DebugProtocol.Scope = new Scope(name, this.hold(container), expensive);
      if (hint !== '') scope.presentationHint = hint;
      scopes.push(scope);
    };
    if (frame.target.kind !== 'wasm') return [];
    if (frame.call !== null) {
      add('Locals', 'locals', false, () => this.locals(frame));
      add('Statics', '', true, () => this.statics(frame));
    }
    add('Wasm Locals', frame.call === null ? 'locals' : '', frame.call !== null, () =>
      this.wasmLocals(frame),
    );
    add('Operand Stack', '', true, () => this.operands(frame));
    add('Wasm Globals', '', true, () => this.globals());
    if (frame.target.depth === 0) add('Registers', 'registers', true, () => this.registers(frame));
    return scopes;
  }

  /** @param start and count: of the numbered children, if the client wants a part of them. @throws ExpressionError */
  children(reference: number, filter: string | undefined, start = 0, count = 0): DebugProtocol.Variable[] {
    const container = this.handles.get(reference);
    if (container === undefined) throw new ExpressionError(GONE);
    const found: Item[] = filter === 'indexed' ? [] : [...container.named()];
    if (filter !== 'named') {
      const from = Math.max(0, Math.trunc(start) || 0);
      const end = Math.min(
        container.indexed,
        from + (count > 0 ? Math.min(count, MOST_CHILDREN) : MAX_CHILDREN),
      );
      for (let i = from; i < end; i++) found.push(container.item(i));
    }
    return found.map(item => this.shown(item, container.frame));
  }

  /** @throws ExpressionError */
  set(reference: number, name: string, text: string): DebugProtocol.SetVariableResponse['body'] {
    const container = this.handles.get(reference);
    if (container === undefined) throw new ExpressionError(GONE);
    const item = container.named().find(i => i.name === name) ?? this.numbered(container, name);
    if (item === null || item.target === null) throw new ExpressionError(`${name} can not be set`);
    const evaluator = new Evaluator(this.target, this.frames, container.frame);
    evaluator.assign(item.target, evaluator.evaluate(text));
    const again = container.named().find(i => i.name === name) ?? this.numbered(container, name) ?? item;
    const { value, type, variablesReference, namedVariables, indexedVariables } = this.shown(
      again,
      container.frame,
    );
    return {
      value,
      variablesReference,
      ...(type === undefined ? {} : { type }),
      ...(namedVariables === undefined ? {} : { namedVariables }),
      ...(indexedVariables === undefined ? {} : { indexedVariables }),
    };
  }

  /** What is shown under a name, to be watched. @throws ExpressionError */
  watchable(reference: number, name: string): { label: string; what: Watchable; frame: ShownFrame } {
    const container = this.handles.get(reference);
    if (container === undefined) throw new ExpressionError(GONE);
    const item = container.named().find(i => i.name === name) ?? this.numbered(container, name);
    if (item?.watchable == null) throw new ExpressionError(`${name} is nothing that could be watched`);
    return { label: item.path || name, what: item.watchable, frame: container.frame };
  }

  private numbered(container: Container, name: string): Item | null {
    const i = Number(/^\[(\d+)\]$/.exec(name)?.[1] ?? NaN);
    return i < container.indexed ? container.item(i) : null;
  }

  /** The result of an expression, as DAP shows it. */
  result(result: Result, frame: ShownFrame, path: string): DebugProtocol.Variable {
    // Behind a comma is how it is shown, which nothing can be appended to.
    return this.shown(this.itemOf('result', result, frame, path.includes(',') ? '' : path), frame);
  }

  private itemOf(name: string, result: Result, frame: ShownFrame, path: string): Item {
    if (result.kind === 'value') return this.item(name, result.value, this.frames.values(frame), path);
    const text = new Evaluator(this.target, this.frames, frame).describe(result);
    const target = result.kind === 'text' || result.set === undefined ? null : result;
    return { name, text, type: '', value: null, path, target, watchable: null };
  }

  private item(name: string, value: Value, values: Values, path: string): Item {
    return {
      name,
      text: values.describe(value),
      type: shortTypeName(value.type.name),
      value,
      path,
      target: ['missing', 'value', 'bytes'].includes(value.place.kind) ? null : { kind: 'value', value },
      watchable: { kind: 'value', value },
    };
  }

  private shown(item: Item, frame: ShownFrame): DebugProtocol.Variable {
    const { value } = item;
    const values = this.frames.values(frame);
    const children = value === null || value.place.kind === 'missing' ? null : values.children(value);
    const reference = children === null ? 0 : this.reference(children, frame, item.path);
    const address = value === null ? null : (values.address(value) ?? null);
    const pointee = value?.type.plain.kind === 'pointer' ? values.pointer(value) : null;
    const memory = pointee ?? address;
    return {
      name: item.name,
      value: item.text,
      variablesReference: reference,
      ...(item.type === '' ? {} : { type: item.type }),
      ...(item.path === '' ? {} : { evaluateName: item.path }),
      ...(children === null || reference === 0
        ? {}
        : { namedVariables: children.named.length, indexedVariables: children.indexed }),
      ...(memory === null ? {} : { memoryReference: `0x${memory.toString(16)}` }),
      ...(item.target === null ? { presentationHint: { attributes: ['readOnly'] } } : {}),
    };
  }

  private reference(children: Children, frame: ShownFrame, path: string): number {
    if (children.named.length === 0 && children.indexed === 0) return 0;
    const values = this.frames.values(frame);
    const of = (e: Entry): Item => this.item(e.name, e.value, values, pathTo(path, e.path));
    return this.hold({
      frame,
      named: () => children.named.map(of),
      indexed: children.indexed,
      item: i => of(children.item(i)),
    });
  }

  // ---------------------------------------------------------------------------------------------------------------- Scopes

  private locals(frame: ShownFrame): Item[] {
    const { debug } = this.target.symbols;
    const { call, codeOffset, reader } = frame;
    if (debug === null || call === null) return [];
    const values = this.frames.values(frame);
    const items = new Map<string, Item>();
    for (const v of debug.variables(call)) {
      // What the compiler made for itself; `this` is a parameter.
      if (v.artificial && v.kind === 'local') continue;
      const place = debug.locate(v, call, codeOffset, reader);
      // An inner one hides an outer one of its name.
      items.delete(v.name);
      items.set(v.name, this.item(v.name, values.value(v.type, place), values, v.name));
    }
    return [...items.values()];
  }

  private statics(frame: ShownFrame): Item[] {
    const { debug } = this.target.symbols;
    if (debug === null) return [];
    const values = this.frames.values(frame);
    return debug.statics(frame.codeOffset).map(v => {
      const place = debug.locate(v, null, frame.codeOffset, frame.reader);
      return this.item(v.name, values.value(v.type, place), values, v.name);
    });
  }

  private wasmLocals(frame: ShownFrame): Item[] {
    const { symbols } = this.target;
    const types = symbols.localTypes(frame.target.functionIndex);
    const evaluator = new Evaluator(this.target, this.frames, frame);
    return types.slice(0, MAX_LOCALS).map((type, i) => {
      const bits = frame.reader.local(i);
      const name = frame.call === null ? this.localName(frame, i) : '';
      const set = (v: bigint): boolean => this.target.writeLocal(frame.thread, frame.target, i, v);
      const item = this.machine(name || `$l${i}`, type, bits, set, { kind: 'local', index: i, type });
      const points = bits === null ? null : evaluator.pointee(bits, type);
      return points === null ? item : { ...item, text: withPointee(item.text, points) };
    });
  }

  /**
   * As its source writes it: plain in languages, `$name` in text; '' when it has none that an expression could hold.
   */
  private localName(frame: ShownFrame, local: number): string {
    const { symbols } = this.target;
    const name = symbols.localName(frame.target.functionIndex, local);
    if (!/^[A-Za-z_]\w*$/.test(name)) return '';
    const file = symbols.debug?.lookup(frame.codeOffset)?.file ?? '.wat';
    return file.endsWith('.wat') ? `$${name}` : name;
  }

  private operands(frame: ShownFrame): Item[] {
    const count = Math.min(this.target.operandCount(frame.thread, frame.target), MAX_LOCALS);
    return Array.from({ length: count }, (_, i) =>
      this.machine(`$s${i}`, 0, frame.reader.operand(i), null, null),
    );
  }

  private globals(): Item[] {
    const { symbols, state } = this.target;
    return symbols.artifact.globals.slice(0, MAX_LOCALS).map(({ type, mutable }, i) => {
      const set = mutable ? (v: bigint): boolean => state.setGlobal(i, v) : null;
      return this.machine(`$g${i}`, type, state.global(i), set, { kind: 'global', index: i, type });
    });
  }

  private registers(frame: ShownFrame): Item[] {
    return Object.entries(this.target.registers(frame.thread)).map(([name, text]) => ({
      name: `$${name}`,
      text,
      type: '',
      value: null,
      path: `$${name}`,
      target: null,
      watchable: null,
    }));
  }

  /** A value of WebAssembly's own. */
  private machine(
    name: string,
    type: number,
    bits: bigint | null,
    set: ((bits: bigint) => boolean) | null,
    watchable: Watchable | null,
  ): Item {
    const typed = bits === null ? '' : type === 0 ? `${bits}` : bitsText(bits, type);
    return {
      name,
      text: bits === null ? '<not kept by optimised code>' : typed,
      type: type === 0 ? '' : typeName(type),
      value: null,
      path: name,
      target:
        bits === null || set === null ? null : { kind: 'number', n: bits, set: v => set(asType(v, type)) },
      watchable: bits === null ? null : watchable,
    };
  }
}

/** The expression of a part. */
function pathTo(owner: string, path: string): string {
  if (owner === '' || path === '') return '';
  const simple = /^[\w$:.[\]>-]+$/.test(owner) ? owner : `(${owner})`;
  const stars = /^\**/.exec(path)![0];
  const rest = path.slice(stars.length);
  if (stars === '') return simple + rest;
  return rest === '' ? stars + simple : `(${stars}${simple})${rest}`;
}
