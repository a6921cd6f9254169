/** Frames, calls, branches, tables of the emitted code. */
import { describe, expect, it } from 'vitest';
import { TrapCode } from '../abi/traps.ts';
import { RelocKind } from '../backend/code.ts';
import { asm, compileIr, count, disassemble, instructions, listings } from './support/x64.ts';

/** A reader of pc maps of its own, by the description in backend/code.ts. */
function readPcMap(f: { pcMap: Uint8Array; wasmStart: number }): { pc: number; loc: number; trap: number }[] {
  let at = 0;
  const leb = (signed: boolean) => {
    let n = 0;
    let shift = 0;
    let byte: number;
    do {
      byte = f.pcMap[at++]!;
      n |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    return signed && byte & 0x40 ? n | (-1 << shift) : n;
  };
  const out = [];
  let pc = 0;
  let loc = f.wasmStart;
  while (at < f.pcMap.length) {
    const head = leb(false);
    pc += head >> 1;
    loc += leb(true);
    out.push({ pc, loc, trap: head & 1 ? f.pcMap[at++]! : 0 });
  }
  return out;
}

const ARGS = (n: number) => Array.from({ length: n }, (_, i) => `v${i + 1}: i64`).join(', ');

describe('frames', () => {
  it('has none for a leaf', () => {
    const f = compileIr('func 1 "" -> i32 {\nb0(v1: i32):\nreturn v1\n}');
    expect(disassemble(f.code)).toEqual(['mov rax,rdi', 'ret']);
    expect(f.frameSize).toBe(0);
    expect(f.saved).toEqual([]);
  });

  it('aligns the stack at calls, and restores what it saves', () => {
    const f = compileIr(
      'func 1 "" -> i64 {\nb0(v1: i64, v2: i64):\ncall f1()\nv3 = add.i64 v1, v2\ncall f1()\nreturn v3\n}',
    );
    const code = disassemble(f.code);
    const pushed = code.filter(l => l.startsWith('push ')).map(l => l.slice(5));
    const popped = code.filter(l => l.startsWith('pop ')).map(l => l.slice(4));
    expect(pushed.length).toBe(f.saved.length);
    expect(popped).toEqual(pushed.reverse());
    expect(f.frameSize % 16).toBe(8);
    const sub = Number(/^sub rsp,(.*)$/.exec(code.find(l => l.startsWith('sub rsp')) ?? 'sub rsp,0')![1]);
    expect(sub + 8 * pushed.length).toBe(f.frameSize);
  });

  it('reads stack arguments where they are, and writes stack results behind them', () => {
    // Six in registers, the seventh and eighth at the return address + 8 and + 16; results: six registers, then behind
    // 16 bytes.
    const f = compileIr(
      `func 1 "" -> i64, i64, i64, i64, i64, i64, i64 {\nb0(${ARGS(8)}):\nreturn v8, v7, v6, v5, v4, v3, v2\n}`,
    );
    const code = disassemble(f.code);
    expect(count(code, /^mov r\w+,\[rsp\+8\]$/)).toBe(1);
    expect(count(code, /^mov r\w+,\[rsp\+0x10\]$/)).toBe(1);
    expect(count(code, /^mov \[rsp\+0x18\],r\w+$/)).toBe(1);
  });

  it('passes stack arguments and takes stack results in one outgoing area', () => {
    const results = Array.from({ length: 8 }, (_, i) => `v${i + 10} = result.i64 v2, ${i}`).join('\n');
    const f = compileIr(
      `func 1 "" -> i64 {\nb0(v1: i32):\nv2 = call f3(v1, v1, v1, v1, v1, v1, v1, v1)\n${results}\nreturn v17\n}`,
    );
    const code = disassemble(f.code);
    // Two i32 arguments at 0 and 8; results 6 and 7 at 16 and 24.
    expect(count(code, /^mov \[rsp\],e\w+$/)).toBe(1);
    expect(count(code, /^mov \[rsp\+8\],e\w+$/)).toBe(1);
    expect(count(code, /^mov rax,\[rsp\+0x18\]$/)).toBe(1);
    expect(f.frameSize).toBeGreaterThanOrEqual(32);
    expect(Array.from(f.relocs.subarray(0, 4))).toEqual([RelocKind.CallFunc, expect.any(Number), 3, 0]);
    expect(f.code[f.relocs[1]! - 1]).toBe(0xe8);
  });

  it('touches every page of a large frame', () => {
    const small = compileIr('func 1 "" -> i64 slots 32000 {\nb0:\nv1 = slot_addr.i64 slot0\nreturn v1\n}');
    expect(count(disassemble(small.code), /^test \[/)).toBe(0);
    const medium = compileIr('func 1 "" -> i64 slots 40000 {\nb0:\nv1 = slot_addr.i64 slot0\nreturn v1\n}');
    const probes = disassemble(medium.code).filter(l => l.startsWith('test ['));
    expect(probes).toEqual(
      Array.from({ length: 9 }, (_, i) => `test [rsp-0x${((i + 1) * 4096).toString(16)}],eax`),
    );
    const large = compileIr('func 1 "" -> i64 slots 1000000 {\nb0:\nv1 = slot_addr.i64 slot0\nreturn v1\n}');
    const code = disassemble(large.code);
    expect(count(code, /^test \[r10\],eax$/)).toBe(1);
    expect(code[0]).toBe('lea r11,[rsp-0xf4000]');
    expect(large.frameSize).toBeGreaterThanOrEqual(1000000);
  });
});

describe('calls', () => {
  it('goes through the import entry and gets its own base back', () => {
    const f = compileIr('func 1 "" -> i32 {\nb0(v1: i32):\nv2 = call_import.i32 i0(v1)\nreturn v2\n}');
    const code = disassemble(f.code);
    const at = code.indexOf('call qword ptr [rax]');
    // The only import's entry: 24 bytes, 16-aligned end below the header and one memory.
    expect(code.slice(at - 2, at + 2)).toEqual([
      'lea rax,[r15-0xb0]',
      'mov r15,[rax+8]',
      'call qword ptr [rax]',
      expect.stringMatching(/^mov r15,\[rsp/),
    ]);
    expect(count(code, /^mov \[rsp(\+\w+)?\],r15$/)).toBe(1);
  });

  it('leaves the base alone where the callee has the same', () => {
    const own = asm('v1: i64', 'call_indirect v1() type=1\nreturn');
    expect(count(own, /r15/)).toBe(0);
    const other = asm(
      'v1: i64, v2: i64',
      'v3 = raw_load.i64 [v1] read_only\nv4 = raw_load.i64 [v1+8] read_only\ncall_indirect v3() type=1 vmctx=v4\nreturn',
    );
    expect(count(other, /^mov r15,/)).toBe(2);
    expect(count(other, /^call qword ptr \[r\w+\]$/)).toBe(1);
  });

  it('calls the stubs', () => {
    const builtin = asm(
      'v1: i32, v2: i64',
      'v3 = extend_u.i64 v1\nv4 = call_builtin.i64 memory_grow(v2, v3)\nreturn v4',
      'i64',
    );
    expect(count(builtin, /^mov edx,edi$/)).toBe(1);
    expect(count(builtin, /^call qword ptr \[r15-0x18\]$/)).toBe(1);
    const host = compileIr('func 1 "" slots 16 {\nb0:\nv1 = slot_addr.i64 slot0\ncall_host i5 v1\nreturn\n}');
    const code = disassemble(host.code);
    expect(count(code, /^lea rdx,\[rsp/)).toBe(1);
    expect(count(code, /^mov eax,5$/)).toBe(1);
    expect(count(code, /^call qword ptr \[r15-0x20\]$/)).toBe(1);
  });
});

describe('branches', () => {
  it('threads jumps through empty blocks and drops jumps to what follows', () => {
    const code = asm('v1: i32', 'br_if v1, b1, b2\nb1:\njump b3\nb2:\njump b4\nb3:\njump b4\nb4:\nreturn');
    expect(code.filter(l => l.startsWith('j'))).toEqual([]);
  });

  it('ends an empty cycle in a jump to itself', () => {
    const code = asm('v1: i32', 'br_if v1, b1, b2\nb1:\njump b3\nb3:\njump b1\nb2:\nreturn');
    expect(count(code, /^jmp /)).toBe(1);
  });

  it('keeps a loop in one piece and puts what traps at the end', () => {
    const code = asm(
      'v1: i32, v2: i32',
      `jump b1(v1)
b1(v3: i32):
v4 = load.i32 [v3]
br_if v4, b4, b2
b2:
v5 = iconst.i32 4
v6 = add.i32 v3, v5
v7 = lt_u.i32 v6, v2
br_if v7, b1(v6), b3
b3:
return v6
b4:
trap Unreachable`,
      'i32',
    );
    expect(code[code.length - 1]).toBe('call qword ptr [r15-0x50]');
    expect(count(code, /^jmp /)).toBe(0);
    expect(count(code, /^j\w+ /)).toBe(2);
  });

  it('switches by a table of distances in rodata', () => {
    const f = compileIr(
      `func 1 "" -> i32 {
b0(v1: i64):
v2 = wrap.i32 v1
br_table v2, [b1, b2, b1, b2, b1, b3]
b1:
v3 = iconst.i32 1
return v3
b2:
v4 = iconst.i32 2
return v4
b3:
v5 = iconst.i32 3
return v5
}`,
    );
    const code = disassemble(f.code);
    // The upper half of a wrapped number is not zero by itself, and the index is used in 64 bits.
    expect(code.slice(0, 3)).toEqual(['mov eax,edi', 'cmp eax,5', expect.stringMatching(/^jae /)]);
    const relocs = Array.from({ length: f.relocs.length / 4 }, (_, i) =>
      Array.from(f.relocs.subarray(i * 4, i * 4 + 4)),
    );
    const table = relocs.filter(r => r[0] === RelocKind.JumpTable);
    expect(table.map(r => r[1])).toEqual([0, 4, 8, 12, 16]);
    const targets = table.map(r => disassemble(f.code.subarray(r[3]!))[0]);
    expect(targets).toEqual(['mov eax,1', 'mov eax,2', 'mov eax,1', 'mov eax,2', 'mov eax,1']);
    expect(f.rodata.length).toBe(20);
  });

  it('compares few cases one by one, and merges equal edges', () => {
    const few = asm('v1: i32', 'br_table v1, [b1, b2, b1]\nb1:\ncall f1()\nreturn\nb2:\nreturn');
    expect(count(few, /^(cmp|test) /)).toBe(2);
    expect(asm('v1: i32', 'br_table v1, [b1, b1, b1, b1, b1]\nb1:\nreturn')).toEqual(['ret']);
  });

  it('splits edges so that each has its own moves', () => {
    const code = asm(
      'v1: i32, v2: i64, v3: i64',
      'br_if v1, b1(v2), b1(v3)\nb1(v4: i64):\ncall_indirect v4() type=1\nreturn',
    );
    // One of the two needs no move, and the other one's is jumped over.
    expect(count(code, /^mov r\w+,r\w+$/)).toBe(1);
    expect(code.join(';')).toMatch(/test edi,edi;j(e|ne) \w+;mov r\w+,r\w+;call/);
  });
});

describe('pc map', () => {
  it('names the place and the trap of each instruction that traps', () => {
    const f = compileIr(
      `func 1 "" -> i32 {
b0(v1: i32, v2: i32):
v3 = load.i32 [v1] @ 110
v4 = div_s.i32 v3, v2 @ 120
trap_z v4, Unreachable @ 130
v5 = call.i32 f0(v4) @ 100
v6 = load.i32 [v5] @ 140
return v6 @ 150
}`,
    );
    const map = readPcMap(f);
    expect(f.wasmStart).toBe(110);
    const at = (pc: number) => map.filter(e => e.pc <= pc).pop()!;
    const seen: Record<string, { loc: number; trap: number }> = {};
    for (const { pc, text } of instructions(f.code)) {
      const { loc, trap } = at(pc);
      const name = text.includes('[r15-') ? 'trap' : text.split(' ')[0]!;
      if (!(name in seen)) seen[name] = { loc, trap };
      if (name === 'idiv') expect(map.some(e => e.pc === pc && e.trap !== 0)).toBe(true);
      // The entry of a call covers its last byte, which a return address points behind.
      if (name === 'call') expect(at(pc + 4).loc).toBe(100);
    }
    expect(seen.idiv).toEqual({ loc: 120, trap: TrapCode.IntegerDivision });
    expect(seen.trap).toEqual({ loc: 130, trap: TrapCode.Unreachable });
    expect(map.filter(e => e.trap === TrapCode.HeapOutOfBounds).map(e => e.loc)).toEqual([110, 140]);
    expect(map.every((e, i) => i === 0 || e.pc > map[i - 1]!.pc)).toBe(true);
  });

  it('gives a merged load its own place', () => {
    const f = compileIr(
      'func 1 "" -> i32 {\nb0(v1: i32, v2: i32):\nv3 = load.i32 [v1] @ 10\nv4 = add.i32 v2, v3 @ 20\nreturn v4 @ 30\n}',
    );
    const merged = instructions(f.code).find(i => /^add e\w+,\[r15/.test(i.text))!;
    expect(readPcMap(f).filter(e => e.trap !== 0)).toEqual([
      { pc: merged.pc, loc: 10, trap: TrapCode.HeapOutOfBounds },
    ]);
  });
});

describe('listing', () => {
  it('shows rows, constraints, edges, and places once there are any', () => {
    const { before, after } = listings(
      'func 1 "" -> i32 {\nb0(v1: i32, v2: i32):\nv3 = load.i32 [v1+8]\nv4 = add.i32 v2, v3\njump b1(v4)\nb1(v5: i32):\nreturn v5\n}',
    );
    expect(before).toMatch(/^block 0\(\) depth 0\n {2}0: args \S+ \*v\d+:rdi \*v\d+:rsi\n/);
    expect(before).toMatch(/alu \S+ \*v\d+:=1 v\d+ v\d+ \[ctx\+x\*1\+8\] trap=2/);
    expect(before).toMatch(/ {4}-> 1\(v\d+\)\nblock 1\(v\d+\)/);
    expect(before).not.toContain('@');
    expect(after).toMatch(/ret \S+ v\d+:rax@rax/);
  });
});
