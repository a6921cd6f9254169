import { describe, expect, it } from 'vitest';
import { BugError } from '../diagnostics.ts';
import { F_B, type Func, ROW } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { parseFunc } from '../ir/text-parse.ts';
import { verify } from '../ir/verify.ts';
import { cpuTime } from './support/cpu-time.ts';

const GOOD = `func 5 "good" -> i32 {
b0(v1: i32, v2: i64):
  v3 = iconst.i32 7
  br_if v1, b1(v3), b2
b1(v4: i32):
  v5 = add.i32 v4, v3
  jump b3(v5)
b2:
  v6 = wrap.i32 v2
  jump b3(v6)
b3(v7: i32):
  return v7
}`;

const body = (text: string, results = '') =>
  `func 1 "f"${results} { b0(v1: i32, v2: i64, v3: f32, v4: f64, v5: v128, v6: ref): ${text} }`;

/** The verifier's complaint about a function. */
function complaint(f: Func, ctx = {}): string {
  try {
    verify(f, ctx);
  } catch (e) {
    expect(e).toBeInstanceOf(BugError);
    return (e as Error).message;
  }
  return '';
}

describe('verify', () => {
  it('accepts a good function', () => {
    expect(complaint(parseFunc(GOOD))).toBe('');
  });

  it('names function, block and instruction', () => {
    expect(complaint(parseFunc(GOOD.replace('add.i32 v4, v3', 'add.i32 v4, v2')))).toMatch(
      /function 5 \(good\), b1, v\d+ = add\.i32 v\d+, v\d+: operand 1 has type i64, expected i32/,
    );
  });

  it.each([
    ['an operand of another type', 'v7 = add.i32 v1, v2 return', /operand 1 has type i64/],
    [
      'a result the operator has not',
      'v7 = add.f32 v3, v3 return',
      /result has type f32, expected i32 or i64/,
    ],
    ['a comparison of different types', 'v7 = eq.i32 v1, v2 return', /operand 1/],
    [
      'a comparison of floats by an integer operator',
      'v7 = lt_s.f32 v3, v3 return',
      /operand 0 has type f32/,
    ],
    ['a wrong conversion', 'v7 = extend_u.i64 v2 return', /operand 0 has type i64, expected i32/],
    ['a bitcast between widths', 'v7 = bitcast.f64 v1 return', /no such bitcast/],
    ['select on i64', 'v7 = select.i32 v2, v1, v1 return', /operand 0 has type i64/],
    ['select of two types', 'v7 = select.i32 v1, v1, v2 return', /operand 2/],
    ['a narrow float load', 'v7 = load.f32.u8 [v1] return', /no such kind of load/],
    ['a load of i32 from 32 bits extended', 'v7 = load.i32.u32 [v1] return', /no such kind of load/],
    ['a raw load through an i32', 'v7 = raw_load.i64 [v1] read_only return', /operand 0 has type i32/],
    ['a store to read-only data', 'vm_store.i32 [vm-16], v1 read_only return', /never written/],
    ['a vmctx field above the base', 'v7 = vm_load.i32 [vm+16] global return', /below the base/],
    ['a missing slot', 'v7 = slot_addr.i64 slot0 return', /no such stack slot/],
    ['a condition of i64', 'trap_nz v2, Unreachable return', /operand 0/],
    ['an early terminator', 'return return', /a terminator inside a block/],
    ['no terminator', 'v7 = clz.i32 v1', /not a terminator/],
    ['too few results', 'return', /0 results, expected 1/, ' -> i32'],
    ['a result of another type', 'return v2', /result 0 has type i64, expected i32/, ' -> i32'],
    ['a use before its definition', 'v7 = clz.i32 v8 v8 = clz.i32 v1 return', /does not dominate/],
    [
      'a use of an instruction without value',
      'v7 = call f1() v9 = result.i32 v7, 0 v8 = clz.i32 v7 return',
      /has no value/,
    ],
    [
      'a result away from its call',
      'v7 = call f1() v8 = result.i32 v7, 0 v9 = clz.i32 v1 v10 = result.i32 v7, 1 return',
      /follow its call/,
    ],
    ['a tail call through an i32', 'tail_call_indirect v1() type=0', /operand 0 has type i32/],
    ['an edge to the entry', 'jump b0(v1, v2, v3, v4, v5, v6)', /goes to the entry/],
    ['a jump to nowhere', 'jump b7', /b7, which is empty/],
    ['arguments that a block does not take', 'jump b1(v1) b1: return', /edge 0 has 1 arguments, b1 has 0/],
    ['an argument of another type', 'jump b1(v1) b1(v7: i64): return', /argument 0 of edge 0 has type i32/],
    ['a builtin with too many arguments', 'call_builtin data_drop(v1, v1) return', /2 arguments/],
  ])('rejects %s', (_, text, message, results = '') => {
    expect(complaint(parseFunc(body(text, results)))).toMatch(message);
  });

  it('a tail call must fit its callee, and the callee its caller', () => {
    const ctx = { func: () => ({ params: [Type.I32], results: [Type.I64] }) };
    const check = (text: string, results: string) => () => verify(parseFunc(body(text, results)), ctx);
    expect(check('tail_call f1(v1)', ' -> i64')).not.toThrow();
    expect(check('tail_call f1(v2)', ' -> i64')).toThrow(/argument 0 has type i64/);
    expect(check('tail_call f1()', ' -> i64')).toThrow(/0 arguments, expected 1/);
    expect(check('tail_call f1(v1)', ' -> i32')).toThrow(/other results/);
    expect(check('tail_call f1(v1)', '')).toThrow(/other results/);
  });

  it('rejects a use that its definition does not dominate', () => {
    expect(complaint(parseFunc(GOOD.replace('wrap.i32 v2', 'add.i32 v5, v5')))).toMatch(
      /in b1\) does not dominate its use/,
    );
  });

  it('accepts such a use where control never comes', () => {
    expect(
      complaint(
        parseFunc('func 0 "f" { b0: return b1: v1 = clz.i32 v2 jump b2 b2: v2 = iconst.i32 1 jump b1 }'),
      ),
    ).toBe('');
  });

  it('rejects broken links', () => {
    const twice = parseFunc(GOOD);
    twice.next[twice.last[1]!] = twice.last[2]!;
    expect(complaint(twice)).toMatch(/terminator inside a block/);
    const back = parseFunc(GOOD);
    back.prev[back.last[1]!] = 0;
    expect(complaint(back)).toMatch(/prev is v0/);
    const block = parseFunc(GOOD);
    block.rows[block.last[1]! * ROW + 7] = 2;
    expect(complaint(block)).toMatch(/but says b2/);
  });

  it('rejects an edge with two owners, but lets a br_table name one twice', () => {
    const f = parseFunc(GOOD);
    f.rows[f.last[2]! * ROW + F_B] = f.b(f.last[1]!);
    expect(complaint(f)).toMatch(/belongs to v\d+ too/);
    const g = parseFunc(body('br_table v1, [b1, b1] b1: return'));
    const table = g.b(g.last[0]!);
    g.pool[table + 2] = g.pool[table + 1]!;
    expect(complaint(g)).toBe('');
  });

  it('checks calls against signatures it is given', () => {
    const ctx = {
      func: (i: number) =>
        i === 7 ? { params: [Type.I32], results: [Type.I64] } : { params: [], results: [Type.I32, Type.I32] },
    };
    expect(complaint(parseFunc(body('v7 = call.i64 f7(v1) return')), ctx)).toBe('');
    expect(complaint(parseFunc(body('v7 = call.i64 f7(v2) return')), ctx)).toMatch(/argument 0 has type i64/);
    expect(complaint(parseFunc(body('v7 = call.i64 f7() return')), ctx)).toMatch(/0 arguments, expected 1/);
    expect(complaint(parseFunc(body('v7 = call.i32 f7(v1) return')), ctx)).toMatch(/result has type i32/);
    expect(complaint(parseFunc(body('v7 = call f8() v8 = result.i32 v7, 0 return')), ctx)).toMatch(
      /1 results, expected 2/,
    );
  });

  it('takes a long function in little time', () => {
    const f = parseFunc('func 0 "f" { b0(v1: i32): return }');
    const end = f.last[0]!;
    let v = f.param(0, 0);
    for (let i = 0; i < 300_000; i++) v = f.insertBefore(end, f.make(Op.Clz, Type.I32, v, 0, 0, 0, 0));
    expect(cpuTime(() => verify(f))).toBeLessThan(2000);
  });
});

describe('verify: invoke', () => {
  const invoked = (rows: string, returned: string, thrown: string, rest = '', edges = 'b1, b2(v11)') =>
    `func 1 "f" -> i32 scope [t0] {
    b0(v1: i32):
      v10 = call.i32 f1(v1)
      ${rows}
      invoke ${edges} scope=0
    b1: ${returned}
    b2(v20: ref): ${thrown}
    ${rest} }`;
  const CAUGHT = 'v11 = caught.ref v10 {0, 0} v12 = caught.i32 v10 {1, 0}';

  it('accepts what a try_table becomes', () => {
    expect(complaint(parseFunc(invoked(CAUGHT, 'return v10', 'return v1')))).toBe('');
    expect(complaint(parseFunc(invoked(CAUGHT, 'return v10', 'return v12')))).toBe('');
  });

  it.each([
    [
      'a result on the way of a throw',
      invoked(CAUGHT, 'return v1', 'return v10'),
      /has not been left by its edge/,
    ],
    [
      'a result as argument of the other edge',
      invoked(
        'v11 = caught.ref v10 {0, 0}',
        'return v1',
        'return v1',
        'b3(v30: i32): return v30',
        'b1, b3(v10)',
      ),
      /exists on the other edge only/,
    ],
    [
      'the exception where the call has returned',
      invoked(CAUGHT, 'return v12', 'return v1'),
      /has not been left by its edge/,
    ],
    [
      'the exception behind a join of both ways',
      invoked(CAUGHT, 'jump b3', 'jump b3', 'b3: return v12'),
      /has not been left by its edge/,
    ],
    [
      'rows between the call and its invoke',
      invoked(`${CAUGHT} v13 = add.i32 v1, v1`, 'return v13', 'return v1'),
      /no call stands before it/,
    ],
    [
      'what is caught without a call',
      invoked('v13 = add.i32 v1, v1 v11 = caught.ref v13 {0, 0}', 'return v1', 'return v1'),
      /follow its call/,
    ],
    [
      'a scope that is not there',
      invoked(CAUGHT, 'return v1', 'return v1').replace('scope=0', 'scope=1'),
      /no such scope/,
    ],
  ])('refuses %s', (_, text, message) => {
    expect(complaint(parseFunc(text))).toMatch(message);
  });
});
