/** Interprets one test script on an engine. */
import { type Engine, EngineFailure, type FailureKind, type Session, trapNamed } from './engine.ts';
import {
  type Command,
  type ModuleCommand,
  moduleOf,
  type RejectType,
  type Script,
  type ScriptAction,
} from './script.ts';
import { argument, matches, showExpected, showValue, showValues, type Value } from './values.ts';

export interface Failure {
  /** Index of the command in the script, and its line in the original. */
  readonly command: number;
  readonly line: number;
  readonly type: string;
  readonly message: string;
}

export interface ScriptReport {
  passed: number;
  skipped: number;
  readonly failures: Failure[];
  /** Skipped commands by reason. */
  readonly skips: Record<string, number>;
}

/** Thrown by a command that does not apply to this engine. */
class Skip extends Error {}
/** Thrown by a command whose assertion does not hold. */
class Mismatch extends Error {}

/** What a name stands for: an instance, or why there is none. */
type Slot<I> = { readonly instance: I } | { readonly skipped: string } | { readonly failed: string };

export function runScript<M, I>(
  script: Script,
  engine: Engine<M, I>,
  onCommand: (index: number) => void = () => {},
): ScriptReport {
  const report: ScriptReport = { passed: 0, skipped: 0, failures: [], skips: {} };
  const session = engine.open();
  try {
    const run = new ScriptRun(engine, session, script.features);
    script.commands.forEach((command, index) => {
      onCommand(index);
      try {
        run.execute(command);
        report.passed++;
      } catch (e) {
        if (e instanceof Skip) {
          report.skipped++;
          report.skips[e.message] = (report.skips[e.message] ?? 0) + 1;
        } else {
          report.failures.push({
            command: index,
            line: command.line,
            type: command.type,
            message: describe(e),
          });
        }
      }
    });
  } finally {
    session.close();
  }
  return report;
}

function describe(e: unknown): string {
  if (e instanceof Mismatch) return e.message;
  if (e instanceof EngineFailure) return `unexpected ${failureText(e)}`;
  if (e instanceof Error)
    return `${e.name}: ${e.message}\n${(e.stack ?? '').split('\n').slice(1, 5).join('\n')}`;
  return String(e);
}

function failureText(e: EngineFailure): string {
  const traps = e.traps.length > 0 ? ` (${e.traps.join(' or ')})` : '';
  return `${e.kind}${traps}: ${e.message}`;
}

class ScriptRun<M, I> {
  readonly #engine: Engine<M, I>;
  readonly #session: Session<M, I>;
  #current: Slot<I> = { failed: 'no module yet' };
  readonly #named = new Map<string, Slot<I>>();
  readonly #registered = new Map<string, Slot<I>>();
  #definition: { readonly module: M } | { readonly skipped: string } | null = null;
  readonly #definitions = new Map<string, { readonly module: M } | { readonly skipped: string }>();

  /** What the script needs that the engine does not have. */
  readonly #lacking: readonly string[];

  constructor(engine: Engine<M, I>, session: Session<M, I>, features: readonly string[]) {
    this.#lacking = features.filter(f => !engine.features.has(f));
    this.#engine = engine;
    this.#session = session;
  }

  execute(command: Command): void {
    switch (command.type) {
      case 'module':
        this.#module(command);
        return;
      case 'module_definition':
        this.#moduleDefinition(command);
        return;
      case 'module_instance':
        this.#moduleInstance(command.module, command.instance);
        return;
      case 'register':
        this.#registered.set(command.as, this.#slot(command.name));
        this.#skipUnlessInstance(command.name);
        return;
      case 'action':
        this.#act(command.action);
        return;
      case 'assert_return': {
        const results = this.#act(command.action);
        const ok =
          results.length === command.expected.length &&
          command.expected.every((e, i) => matches(e, results[i]!));
        if (!ok) {
          throw new Mismatch(
            `${showAction(command.action)}: expected ${showValues(command.expected.map(showExpected))}, got ${showValues(results.map(showValue))}`,
          );
        }
        return;
      }
      case 'assert_trap':
        this.#expectTrap(command.text, showAction(command.action), () => this.#act(command.action));
        return;
      case 'assert_exhaustion':
        this.#expectFailure('exhaustion', showAction(command.action), () => this.#act(command.action));
        return;
      case 'assert_exception':
        this.#expectFailure('exception', showAction(command.action), () => this.#act(command.action));
        return;
      case 'assert_invalid':
      case 'assert_malformed':
      case 'assert_invalid_custom':
      case 'assert_malformed_custom':
        this.#assertRejected(command);
        return;
      case 'assert_unlinkable': {
        const module = this.#compile(command);
        const failure = this.#expectFailure('unlinkable', 'the module', () => this.#instantiate(module));
        if (failure.wording !== null && !failure.wording.startsWith(command.text)) {
          throw new Mismatch(`expected link error "${command.text}", got "${failure.wording}"`);
        }
        return;
      }
      case 'assert_uninstantiable': {
        const module = this.#compile(command);
        this.#expectTrap(command.text, 'the module', () => this.#instantiate(module));
        return;
      }
      case 'thread':
      case 'wait':
        throw new Skip('threads of the script language');
    }
  }

  #module(command: ModuleCommand & { readonly name?: string }): void {
    this.#bind(command.name, () => ({ instance: this.#instantiate(this.#compile(command)) }));
  }

  #moduleDefinition(command: ModuleCommand & { readonly name?: string }): void {
    const set = (definition: { readonly module: M } | { readonly skipped: string }) => {
      this.#definition = definition;
      if (command.name !== undefined) this.#definitions.set(command.name, definition);
    };
    try {
      set({ module: this.#compile(command) });
    } catch (e) {
      if (e instanceof Skip) set({ skipped: e.message });
      throw e;
    }
  }

  #moduleInstance(definitionName: string | undefined, instanceName: string | undefined): void {
    this.#bind(instanceName, () => {
      const definition =
        definitionName === undefined ? this.#definition : this.#definitions.get(definitionName);
      if (!definition) throw new Mismatch(`no module definition ${definitionName ?? ''}`);
      if ('skipped' in definition) throw new Skip(definition.skipped);
      return { instance: this.#instantiate(definition.module) };
    });
  }

  /** Makes the result the current instance and, if named, the named one; remembers why there is none. */
  #bind(name: string | undefined, make: () => Slot<I>): void {
    const set = (slot: Slot<I>) => {
      this.#current = slot;
      if (name !== undefined) this.#named.set(name, slot);
    };
    try {
      set(make());
    } catch (e) {
      set(e instanceof Skip ? { skipped: e.message } : { failed: describe(e).split('\n')[0]! });
      throw e;
    }
  }

  #slot(name: string | undefined): Slot<I> {
    if (name === undefined) return this.#current;
    return this.#named.get(name) ?? { failed: `no module is named ${name}` };
  }

  #skipUnlessInstance(name: string | undefined): void {
    const slot = this.#slot(name);
    if ('skipped' in slot) throw new Skip(`acts on a skipped module (${slot.skipped})`);
    if ('failed' in slot) throw new Mismatch(`there is no instance to act on: ${slot.failed}`);
  }

  #instanceOf(name: string | undefined): I {
    this.#skipUnlessInstance(name);
    return (this.#slot(name) as { readonly instance: I }).instance;
  }

  #act(action: ScriptAction): Value[] {
    const instance = this.#instanceOf(action.module);
    if (action.type === 'get') return [this.#session.get(instance, action.field)];
    return this.#session.invoke(instance, action.field, (action.args ?? []).map(argument));
  }

  /** @throws Skip when the engine lacks what the module needs */
  #compile(command: ModuleCommand): M {
    if (command.module_type === 'text') throw new Skip('the module has only a text form');
    const { features, partial } = this.#engine;
    const needs = command.features ?? [];
    const lacks = needs.filter(f => !features.has(f) && !partial.has(f));
    if (lacks.length > 0) throw new Skip(`needs ${lacks.join(', ')}`);
    try {
      return this.#session.compile(moduleOf(command));
    } catch (e) {
      if (e instanceof EngineFailure && e.kind === 'limit')
        throw new Skip(`limit of the engine: ${e.message}`);
      const missing = needs.filter(f => partial.has(f));
      if (e instanceof EngineFailure && e.kind === 'unsupported' && missing.length > 0)
        throw new Skip(`needs more of ${missing.join(', ')} than there is`);
      throw e;
    }
  }

  #instantiate(module: M): I {
    const instances = new Map<string, I>();
    for (const name of this.#session.importedModules(module)) {
      const slot = this.#registered.get(name);
      if (slot === undefined) continue;
      if ('skipped' in slot) throw new Skip(`imports from a skipped module (${slot.skipped})`);
      if ('failed' in slot) throw new Mismatch(`imports from ${name}, which failed: ${slot.failed}`);
      instances.set(name, slot.instance);
    }
    try {
      return this.#session.instantiate(module, instances);
    } catch (e) {
      if (e instanceof EngineFailure && e.kind === 'limit')
        throw new Skip(`limit of the engine: ${e.message}`);
      throw e;
    }
  }

  #assertRejected(command: Extract<Command, { readonly type: RejectType }>): void {
    if (command.module_type === 'text') throw new Skip('the module has only a text form');
    // Whoever does not interpret a custom section may accept what it holds.
    if (command.type.endsWith('_custom')) throw new Skip('asserts on a custom section that may be ignored');
    const isValid =
      command.valid_with?.every(f => this.#engine.features.has(f) || this.#engine.partial.has(f)) ?? false;
    let failure: EngineFailure | null = null;
    try {
      this.#session.compile(moduleOf(command));
    } catch (e) {
      if (!(e instanceof EngineFailure)) throw e;
      failure = e;
    }
    if (isValid) {
      if (failure !== null) throw failure;
      return;
    }
    const wanted: FailureKind = command.type === 'assert_invalid' ? 'invalid' : 'malformed';
    if (failure === null) throw new Mismatch(`accepted, but it is ${wanted}: ${command.text}`);
    if (failure.kind === 'unsupported' || failure.kind === 'limit') {
      throw new Skip(`rejected as ${failure.kind} before it was found ${wanted}`);
    }
    // Modules that must be rejected are not tagged with features. What does not know a feature's encoding finds it
    // malformed.
    if (wanted === 'invalid' && failure.kind === 'malformed' && this.#lacking.length > 0) {
      throw new Skip(`rejected as malformed in a script that needs ${this.#lacking.join(', ')}`);
    }
    if (this.#engine.separatesMalformed && failure.kind !== wanted) {
      throw new Mismatch(`rejected as ${failureText(failure)}; expected ${wanted}: ${command.text}`);
    }
  }

  #expectFailure(kind: FailureKind, what: string, act: () => unknown): EngineFailure {
    try {
      act();
    } catch (e) {
      if (!(e instanceof EngineFailure)) throw e;
      if (e.kind !== kind) throw new Mismatch(`${what}: expected ${kind}, got ${failureText(e)}`);
      return e;
    }
    throw new Mismatch(`${what}: expected ${kind}, but it succeeded`);
  }

  #expectTrap(text: string, what: string, act: () => unknown): void {
    const trap = trapNamed(text);
    const failure = this.#expectFailure('trap', what, act);
    if (!failure.traps.includes(trap)) {
      throw new Mismatch(`${what}: expected trap ${trap} (${text}), got ${failureText(failure)}`);
    }
  }
}

function showAction(action: ScriptAction): string {
  const target = `${action.module === undefined ? '' : `${action.module}.`}${JSON.stringify(action.field)}`;
  if (action.type === 'get') return `get ${target}`;
  return `${target}(${(action.args ?? []).map(a => showValue(argument(a))).join(', ')})`;
}
