/**
 * Random programs that throw and catch, as text with the earlier instructions (`try`, `catch`, `rethrow`, `delegate`),
 * which V8 runs; Binaryen translates them to try_table and throw_ref. They end: loops and calls use up fuel.
 */
import { Random } from '../../../scripts/fuzz/random.ts';

type Type = 'i32' | 'i64' | 'f64' | 'v128';
const TYPES: readonly Type[] = ['i32', 'i64', 'f64', 'v128'];
const LOCALS = 3;
export const TAGS: readonly (readonly Type[])[] = [
  [],
  ['i32'],
  ['i64', 'f64'],
  ['i32', 'i64', 'f64', 'i32', 'i64'],
];
const PARAMS: readonly Type[] = ['i32', 'i64', 'f64'];
const FUEL = 400;

interface Label {
  readonly name: string;
  /** A `try` whose catch clause we are in: may be rethrown. */
  readonly caught: boolean;
  /** May be branched to, or delegated to. */
  readonly branch: boolean;
}

export function legacyProgram(seed: number): string {
  return new Program(new Random(seed)).text();
}

class Program {
  #labels: Label[] = [];
  #count = 0;
  #functions = 0;
  #budget = 0;

  constructor(private readonly r: Random) {}

  text(): string {
    const functions = 2 + this.r.below(4);
    const bodies: string[] = [];
    for (let f = 0; f < functions; f++) {
      this.#functions = f + 1;
      this.#budget = 40;
      bodies.push(this.#function(f));
    }
    const tags = TAGS.map((t, i) => `(tag $t${i} (export "t${i}") ${t.map(p => `(param ${p})`).join(' ')})`);
    return `(module
      (import "m" "log" (func $log (param i32 i32 i64 f64)))
      ${tags.join('\n')}
      (memory (export "memory") 1)
      (global $fuel (mut i32) (i32.const ${FUEL}))
      (func (export "refuel") (global.set $fuel (i32.const ${FUEL})))
      ${bodies.join('\n')})`;
  }

  #chance(percent: number): boolean {
    return this.r.below(100) < percent;
  }
  #label(): string {
    return `$l${this.#count++}`;
  }
  #local(type: Type): string {
    return `$${type}_${this.r.below(LOCALS)}`;
  }
  #inside<T>(label: Label, make: () => T): T {
    this.#labels.push(label);
    const made = make();
    this.#labels.pop();
    return made;
  }

  #function(index: number): string {
    const params = PARAMS.map(t => `(param $${t}_0 ${t})`).join(' ');
    const locals = TYPES.flatMap(t =>
      Array.from({ length: LOCALS }, (_, i) => (i === 0 && t !== 'v128' ? '' : `(local $${t}_${i} ${t})`)),
    ).join(' ');
    const n = 3 + this.r.below(6);
    const statements = Array.from({ length: n }, () => this.#statement(3));
    const sum = Array.from({ length: LOCALS }, (_, i) => [
      `(i64.extend_i32_s (local.get $i32_${i}))`,
      `(local.get $i64_${i})`,
      `(i64.trunc_sat_f64_s (local.get $f64_${i}))`,
      `(i64x2.extract_lane 1 (local.get $v128_${i}))`,
    ]).flat();
    return `(func $f${index} (export "f${index}") ${params} (result i64) ${locals}
      (if (i32.le_s (global.get $fuel) (i32.const 0)) (then (return (i64.const 1))))
      (global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))
      ${statements.join('\n')}
      ${sum.join(' ')} ${'i64.add '.repeat(sum.length - 1)})`;
  }

  #call(depth: number): string {
    const f = this.r.below(this.#functions);
    return `(call $f${f} ${PARAMS.map(t => this.#expression(t, depth - 1)).join(' ')})`;
  }

  #statements(depth: number): string {
    return Array.from({ length: 1 + this.r.below(3) }, () => this.#statement(depth)).join('\n');
  }

  #statement(depth: number): string {
    if (--this.#budget < 0) depth = 0;
    switch (this.r.below(depth > 0 ? 12 : 4)) {
      case 0:
        return `(call $log (i32.const ${this.#count++}) (local.get ${this.#local('i32')}) (local.get ${this.#local('i64')}) (local.get ${this.#local('f64')}))`;
      case 1:
        return `(i64.store (i32.and ${this.#expression('i32', depth - 1)} (i32.const 0xfff8)) ${this.#expression('i64', depth - 1)})`;
      case 2:
      case 3: {
        const t = this.r.pick(TYPES);
        return `(local.set ${this.#local(t)} ${this.#expression(t, depth - 1)})`;
      }
      case 4:
      case 5:
        return `(if ${this.#condition(depth)} (then ${this.#leave(depth)}))`;
      case 6: {
        const name = this.#label();
        return this.#inside(
          { name, caught: false, branch: true },
          () => `(block ${name} ${this.#statements(depth - 1)})`,
        );
      }
      case 7: {
        const name = this.#label();
        return this.#inside(
          { name, caught: false, branch: true },
          () => `(loop ${name}
            (if (i32.le_s (global.get $fuel) (i32.const 0)) (then (return (i64.const 2))))
            (global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))
            ${this.#statements(depth - 1)}
            (br_if ${name} ${this.#condition(depth)}))`,
        );
      }
      case 8:
        return `(local.set ${this.#local('i64')} ${this.#call(depth)})`;
      default:
        return this.#try(null, depth);
    }
  }

  #condition(depth: number): string {
    return `(i32.eq (i32.and ${this.#expression('i32', depth - 1)} (i32.const 3)) (i32.const ${this.r.below(4)}))`;
  }

  /** Something behind which control does not go on. */
  #leave(depth: number): string {
    const targets = this.#labels.filter(l => l.branch);
    const caught = this.#labels.filter(l => l.caught);
    const kind = this.r.below(10);
    if (kind === 0) return `(return ${this.#expression('i64', depth - 1)})`;
    if (kind < 3 && targets.length > 0) return `(br ${this.r.pick(targets).name})`;
    if (kind < 5 && caught.length > 0) return `(rethrow ${this.r.pick(caught).name})`;
    if (kind === 5) return '(drop (i32.div_u (i32.const 1) (i32.const 0)))';
    const tag = this.r.below(TAGS.length);
    return `(throw $t${tag} ${TAGS[tag]!.map(t => this.#expression(t, depth - 1)).join(' ')})`;
  }

  #try(result: Type | null, depth: number): string {
    const name = this.#label();
    const type = result === null ? '' : `(result ${result})`;
    const value = () => (result === null ? '' : this.#expression(result, depth - 1));
    const body = this.#inside(
      { name, caught: false, branch: result === null },
      () =>
        `(do ${this.#statements(depth - 1)} ${this.#chance(50) ? `(drop ${this.#call(depth)})` : ''} ${value()})`,
    );
    const outer = this.#labels.filter(l => l.branch);
    if (this.#chance(15)) {
      // To an enclosing construct, or out of the function.
      const to = outer.length > 0 && this.#chance(80) ? this.r.pick(outer).name : `${this.#labels.length}`;
      return `(try ${name} ${type} ${body} (delegate ${to}))`;
    }
    const clauses: string[] = [];
    for (let n = this.r.below(4); n > 0; n--) {
      const tag = this.r.below(TAGS.length);
      const take = TAGS[tag]!.map(t => (this.#chance(70) ? `(local.set ${this.#local(t)})` : '(drop)'))
        .reverse()
        .join(' ');
      clauses.push(`(catch $t${tag} ${take} ${this.#handler(name, depth)} ${value()})`);
    }
    if (clauses.length === 0 || this.#chance(40))
      clauses.push(`(catch_all ${this.#handler(name, depth)} ${value()})`);
    return `(try ${name} ${type} ${body} ${clauses.join('\n')})`;
  }

  #handler(name: string, depth: number): string {
    return this.#inside({ name, caught: true, branch: false }, () => this.#statements(depth - 1));
  }

  #expression(type: Type, depth: number): string {
    if (depth <= 0 || this.#chance(30)) {
      if (this.#chance(70)) return `(local.get ${this.#local(type)})`;
      const n = this.r.below(1000) - 500;
      return type === 'v128' ? `(v128.const i64x2 ${n} ${n * 3})` : `(${type}.const ${n})`;
    }
    const e = (t: Type) => this.#expression(t, depth - 1);
    if (this.#chance(12)) return this.#try(type, depth);
    switch (type) {
      case 'i32':
        return this.r.pick([
          () => `(i32.add ${e('i32')} ${e('i32')})`,
          () => `(i32.xor ${e('i32')} (i32.wrap_i64 ${e('i64')}))`,
          () => `(i32.lt_s ${e('i32')} ${e('i32')})`,
          () => `(i32x4.extract_lane ${this.r.below(4)} ${e('v128')})`,
        ])();
      case 'i64':
        return this.r.pick([
          () => `(i64.add ${e('i64')} ${e('i64')})`,
          () => `(i64.mul ${e('i64')} (i64.extend_i32_s ${e('i32')}))`,
          () => `(i64.load (i32.and ${e('i32')} (i32.const 0xfff8)))`,
          () => this.#call(depth),
        ])();
      case 'f64':
        return this.r.pick([
          () => `(f64.add ${e('f64')} (f64.const 0.5))`,
          () => `(f64.sub ${e('f64')} (f64.convert_i32_s ${e('i32')}))`,
          () => `(f64.min ${e('f64')} (f64.const 1e9))`,
        ])();
      case 'v128':
        return this.r.pick([
          () => `(i32x4.add ${e('v128')} ${e('v128')})`,
          () => `(i64x2.splat ${e('i64')})`,
          () => `(i32x4.replace_lane 2 ${e('v128')} ${e('i32')})`,
        ])();
    }
  }
}
