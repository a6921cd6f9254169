import { describe, expect, it } from 'vitest';
import type { Row } from '../engine.ts';
import { chartSvg, geometricMean, ratios, tableText } from '../report.ts';

const row = (workload: string, engine: Row['engine'], run_ms: number | null): Row => ({
  workload,
  engine,
  run_ms,
  compile_cpu_ms: 10,
  wasm_code_bytes: 20_000,
  text_bytes: engine === 'v8' ? null : 4096,
  peak_mb: 60,
});

const ROWS = [
  row('a', 'lucet', 50),
  row('a', 'v8', 100),
  row('b', 'lucet', 80),
  row('b', 'v8', 10),
  row('only compiled', 'lucet', null),
  row('only compiled', 'v8', null),
  row('too short', 'lucet', 0.1),
  row('too short', 'v8', 0.01),
];

describe('report', () => {
  it('geometric mean', () => {
    expect(geometricMean([0.5, 8])).toBeCloseTo(2);
  });

  it('ratios leave out what did not run, or not for long', () => {
    expect([...ratios(ROWS, 'v8')]).toEqual([
      ['a', 0.5],
      ['b', 8],
    ]);
    expect(ratios(ROWS, 'wasmtime').size).toBe(0);
  });

  it('table', () => {
    const text = tableText(ROWS);
    expect(text).toContain("run time over v8's: 2.000 (geometric mean of 2), most 8.00 (b)");
    expect(text.split('\n')[1]).toMatch(/^a +lucet +10\.0 +2\.00 +60 +4\.0 +50\.00 +-$/);
    expect(text).not.toContain('NaN');
  });

  it('chart: a bar for each ratio, and for the mean', () => {
    const svg = chartSvg(ROWS);
    expect(svg).toContain('>0.50<');
    expect(svg).toContain('>8.00<');
    expect(svg).toContain('>2.00<');
    expect(svg).not.toContain('NaN');
  });
});
