/** Labels, relaxation and alignment: random graphs, decoded by iced-x86. */
import { Decoder, DecoderOptions, FlowControl, Mnemonic } from 'iced-x86';
import { describe, expect, test } from 'vitest';
import { Assembler, Ins } from '../backend/x64/encode.ts';
import { cpuTime } from './support/cpu-time.ts';

/** xorshift32: same graphs in every run. */
function random(seed: number): (n: number) => number {
  let s = seed || 1;
  return n => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) % n;
  };
}

interface Site {
  /** Token of the instruction's start. */
  readonly at: number;
  readonly label: number;
}

/**
 * `mov eax, id` marks each label's place, so a branch is right exactly if it leads to its label's marker.
 * Odd seeds have alignments too. Padding is made of int3, which no alignment emits.
 */
function build(asm: Assembler, seed: number, pieces: number, spread: number) {
  const rnd = random(seed);
  const labels = Array.from({ length: Math.max(1, pieces >> 2) }, () => asm.newLabel());
  const order = labels.map((_, i) => i);
  const sites: Site[] = [];
  const marks: number[] = [];
  const aligned: [token: number, n: number][] = [];
  let next = 0;
  const place = () => {
    asm.bind(labels[order[next]!]!);
    marks[order[next]!] = asm.here();
    asm.ri(Ins.MOV, 4, 0, order[next]! + 1);
    next++;
  };
  for (let i = 0; i < pieces; i++) {
    const what = rnd(10);
    if (what < 4) {
      const label = rnd(labels.length);
      sites.push({ at: asm.here(), label });
      const cc = rnd(17);
      if (cc === 16) asm.jmp(labels[label]!);
      else asm.jcc(cc, labels[label]!);
    } else if (what < 6) {
      if (next < labels.length) place();
    } else if (what === 6 && seed % 2 === 1) {
      const n = [2, 4, 8, 16, 32][rnd(5)]!;
      asm.align(n);
      aligned.push([asm.here(), Math.min(n, 16)]);
    } else {
      for (let k = rnd(spread); k > 0; k--) asm.plain(Ins.INT3);
    }
  }
  while (next < labels.length) place();
  return { labels, sites, marks, aligned };
}

function check(
  seed: number,
  pieces: number,
  spread: number,
  relaxes = true,
): { short: number; long: number } {
  const asm = new Assembler(relaxes);
  const { labels, sites, marks, aligned } = build(asm, seed, pieces, spread);
  const code = asm.finish();
  const places = new Map(sites.map(s => [asm.map(s.at), s]));
  const decoder = new Decoder(64, code, DecoderOptions.None);
  let short = 0;
  let long = 0;
  let branches = 0;
  const at = new Map<number, string>();
  while (decoder.canDecode) {
    const i = decoder.decode();
    const here = Number(i.ip);
    at.set(here, `${Mnemonic[i.mnemonic]} ${i.mnemonic === Mnemonic.Mov ? i.immediate(1) : ''}`);
    expect(i.mnemonic).not.toBe(Mnemonic.INVALID);
    const flow = i.flowControl;
    if (flow === FlowControl.ConditionalBranch || flow === FlowControl.UnconditionalBranch) {
      branches++;
      const site = places.get(here);
      expect(site, `no branch expected at ${here}`).toBeDefined();
      expect(Number(i.nearBranchTarget)).toBe(asm.map(marks[site!.label]!));
      expect(asm.labelPos(labels[site!.label]!)).toBe(asm.map(marks[site!.label]!));
      const distance = Number(i.nearBranchTarget) - here - i.length;
      if (i.length === 2) short++;
      else {
        long++;
        // With alignments, a branch may stay long although a pass moved its target near; without relaxation, one to
        // what comes later does.
        if (aligned.length === 0 && (relaxes || distance < 0))
          expect(distance < -128 || distance > 127).toBe(true);
      }
    }
    i.free();
  }
  decoder.free();
  expect(branches).toBe(sites.length);
  marks.forEach((m, l) => {
    expect(at.get(asm.map(m))).toBe(`Mov ${l + 1}`);
  });
  for (const [token, n] of aligned) expect(asm.map(token) % n).toBe(0);
  return { short, long };
}

test('without relaxation positions are final from the start', () => {
  const sum = { short: 0, long: 0 };
  for (let seed = 2; seed <= 60; seed += 2) {
    const { short, long } = check(seed, 20 + seed * 5, 1 + (seed % 7) * 6, false);
    sum.short += short;
    sum.long += long;
  }
  expect(sum.short).toBeGreaterThan(100);
  expect(sum.long).toBeGreaterThan(100);
  const asm = new Assembler(false);
  asm.jmp(asm.newLabel());
  expect(() => asm.finish()).toThrow(/not bound/);
  expect(() => asm.align(16)).toThrow(/without relaxation/);
});

describe('relaxation', () => {
  test('random graphs', () => {
    const sum = { short: 0, long: 0 };
    for (let seed = 1; seed <= 60; seed++) {
      const { short, long } = check(seed, 20 + seed * 5, 1 + (seed % 7) * 6);
      sum.short += short;
      sum.long += long;
    }
    expect(sum.short).toBeGreaterThan(500);
    expect(sum.long).toBeGreaterThan(500);
  });

  test('at the borders of rel8', () => {
    for (const [pad, length] of [
      [126, 2],
      [127, 2],
      [128, 5],
    ] as const) {
      const asm = new Assembler();
      const l = asm.newLabel();
      asm.jmp(l);
      for (let i = 0; i < pad; i++) asm.plain(Ins.NOP);
      asm.bind(l);
      expect(asm.finish().length).toBe(pad + length);
    }
    for (const [pad, length] of [
      [126, 2],
      [127, 6],
    ] as const) {
      const asm = new Assembler();
      const l = asm.newLabel();
      asm.bind(l);
      for (let i = 0; i < pad; i++) asm.plain(Ins.NOP);
      asm.jcc(4, l);
      expect(asm.finish().length).toBe(pad + length);
    }
  });

  test('a cascade that lengthens one branch a pass ends soon, and is right', () => {
    // Each branch reaches over the next one only while that is short; the last one is long.
    const n = 20_000;
    const asm = new Assembler();
    const labels = Array.from({ length: n + 1 }, () => asm.newLabel());
    const far = asm.newLabel();
    for (let i = 0; i < n; i++) {
      asm.bind(labels[i]!);
      // Backwards: label i - 1 lies 128 bytes before the end of the short form.
      if (i > 0) asm.jmp(labels[i - 1]!);
      else asm.jmp(far);
      for (let k = 0; k < 124; k++) asm.plain(Ins.NOP);
    }
    for (let k = 0; k < 200; k++) asm.plain(Ins.NOP);
    asm.bind(far);
    let code = new Uint8Array();
    expect(
      cpuTime(() => {
        code = asm.finish();
      }),
    ).toBeLessThan(3000);
    const decoder = new Decoder(64, code, DecoderOptions.None);
    for (let i = 0; i < n; i += 97) {
      const at = asm.labelPos(labels[i]!);
      decoder.position = at;
      decoder.ip = BigInt(at);
      const ins = decoder.decode();
      expect(Number(ins.nearBranchTarget)).toBe(asm.labelPos(i > 0 ? labels[i - 1]! : far));
      ins.free();
    }
  });

  test('alternating near and far targets: not quadratic', () => {
    const n = 100_000;
    const asm = new Assembler();
    const end = asm.newLabel();
    for (let i = 0; i < n; i++) {
      const near = asm.newLabel();
      asm.jcc(4, near);
      asm.jcc(5, end);
      asm.bind(near);
    }
    asm.bind(end);
    // All but the last few must be long (6 bytes); the near ones are short.
    let length = 0;
    expect(
      cpuTime(() => {
        length = asm.finish().length;
      }),
    ).toBeLessThan(2000);
    expect(length).toBeGreaterThan(n * 8 - 200);
  });
});

test('tokens: monotone, at both sides of branches and alignments; reuse after reset', () => {
  const asm = new Assembler();
  for (let round = 0; round < 2; round++) {
    asm.reset();
    const l = asm.newLabel();
    const tokens = [asm.here()];
    asm.jcc(4, l);
    tokens.push(asm.here());
    asm.align(16);
    tokens.push(asm.here());
    asm.plain(Ins.RET);
    tokens.push(asm.here());
    asm.bind(l);
    asm.callRel();
    const disp = asm.lastDisp;
    tokens.push(asm.here());
    const code = asm.finish();
    expect(tokens.map(t => asm.map(t))).toEqual([0, 2, 16, 17, 22]);
    expect(tokens.reverse().map(t => asm.map(t))).toEqual([22, 17, 16, 2, 0]);
    expect(asm.map(disp)).toBe(18);
    expect([...code.subarray(0, 2)]).toEqual([0x74, 15]);
    expect(code[16]).toBe(0xc3);
    expect(code[17]).toBe(0xe8);
  }
});
