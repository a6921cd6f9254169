/** Rows as a table for the terminal and as a chart. */
import { type EngineName, PEERS, type Row } from './engine.ts';

export function geometricMean(list: readonly number[]): number {
  return Math.exp(list.reduce((sum, r) => sum + Math.log(r), 0) / list.length);
}

/** The rows of each workload, in order. */
function byWorkload(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.workload);
    if (group) group.push(row);
    else groups.set(row.workload, [row]);
  }
  return groups;
}

/** What runs shorter says nothing about code: it is in no mean. */
const LEAST_MS = 1;

/** For each workload that ran on both, for long enough: our run time over a peer's. */
export function ratios(rows: readonly Row[], peer: EngineName): Map<string, number> {
  const result = new Map<string, number>();
  for (const [workload, group] of byWorkload(rows)) {
    const ours = group.find(r => r.engine === 'lucet')?.run_ms;
    const theirs = group.find(r => r.engine === peer)?.run_ms;
    if (ours && theirs && ours >= LEAST_MS) result.set(workload, ours / theirs);
  }
  return result;
}

const number = (n: number | null | undefined, digits: number, width: number): string =>
  (n == null ? '-' : n.toFixed(digits)).padStart(width);

export function tableText(rows: readonly Row[]): string {
  const lines = [
    'workload             engine     compile ms    MB/s   peak MB    text KB     run ms  lucet/it',
  ];
  for (const [workload, group] of byWorkload(rows)) {
    const ours = group.find(r => r.engine === 'lucet')?.run_ms;
    for (const row of group) {
      const rate = row.wasm_code_bytes / 1000 / row.compile_cpu_ms;
      const ratio = ours && row.run_ms && row.engine !== 'lucet' ? ours / row.run_ms : null;
      lines.push(
        `${workload.padEnd(20)} ${row.engine.padEnd(9)} ${number(row.compile_cpu_ms, 1, 11)} ${number(rate, 2, 7)} ${number(row.peak_mb, 0, 9)} ${number(row.text_bytes && row.text_bytes / 1024, 1, 10)} ${number(row.run_ms, 2, 10)} ${number(ratio, 2, 9)}`,
      );
    }
  }
  for (const peer of ['before', ...PEERS] as const) {
    const list = [...ratios(rows, peer)];
    if (list.length === 0) continue;
    const [worst, most] = list.reduce((a, b) => (b[1] > a[1] ? b : a));
    const mean = geometricMean(list.map(([, r]) => r));
    lines.push(
      `run time over ${peer}'s: ${mean.toFixed(3)} (geometric mean of ${list.length}), most ${most.toFixed(2)} (${worst})`,
    );
    // The native peer's library lies elsewhere, ours is in the module.
    if (peer === 'native') continue;
    const sizes: number[] = [];
    for (const group of byWorkload(rows).values()) {
      const ours = group.find(r => r.engine === 'lucet')?.text_bytes;
      const theirs = group.find(r => r.engine === peer)?.text_bytes;
      if (ours && theirs) sizes.push(ours / theirs);
    }
    if (sizes.length > 0) lines.push(`code size over ${peer}'s: ${geometricMean(sizes).toFixed(3)}`);
  }
  return `${lines.join('\n')}\n`;
}

const COLORS: Readonly<Record<string, string>> = {
  v8: '#8a8f98',
  wasmtime: '#c98b2b',
  wasm2c: '#3f8f6b',
  native: '#b0524f',
  before: '#7a5fb0',
};

/** Run time over each peer's, a bar for each workload: shorter is better, the line is 1. */
export function chartSvg(rows: readonly Row[]): string {
  const peers = ([...PEERS, 'before'] as const).filter(p => ratios(rows, p).size > 0);
  const names = [...byWorkload(rows)].filter(([, g]) => g.some(r => r.run_ms)).map(([name]) => name);
  const all: (readonly [string, ReadonlyMap<EngineName, number>])[] = names.map(name => [
    name,
    new Map(peers.map(p => [p as EngineName, ratios(rows, p).get(name) ?? 0])),
  ]);
  all.push([
    'geometric mean',
    new Map(peers.map(p => [p as EngineName, geometricMean([...ratios(rows, p).values()])])),
  ]);
  const bar = 12;
  const group = peers.length * bar + 10;
  const left = 150;
  const scale = 300;
  const height = 50 + all.length * group;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + 1.6 * scale}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<title>Run time of Lucet's code, as a multiple of each engine's</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="8" y="18" font-size="14">Run time of Lucet's code, as a multiple of each engine's (shorter is better)</text>`,
  ];
  peers.forEach((p, i) => {
    parts.push(
      `<rect x="${left + 110 * i}" y="26" width="10" height="10" fill="${COLORS[p]}"/><text x="${left + 110 * i + 14}" y="35">over ${p}</text>`,
    );
  });
  all.forEach(([name, values], i) => {
    const y = 46 + i * group;
    const weight = i === all.length - 1 ? ' font-weight="bold"' : '';
    parts.push(
      `<text x="${left - 8}" y="${y + (peers.length * bar) / 2 + 4}" text-anchor="end"${weight}>${name}</text>`,
    );
    peers.forEach((p, k) => {
      const value = values.get(p)!;
      const width = Math.min(value, 1.5) * scale;
      const at = y + k * bar;
      parts.push(
        `<rect x="${left}" y="${at}" width="${width.toFixed(1)}" height="${bar - 2}" fill="${COLORS[p]}"/>`,
        `<text x="${(left + width + 4).toFixed(1)}" y="${at + 9}" font-size="10">${value > 0 ? value.toFixed(2) : '-'}</text>`,
      );
    });
  });
  parts.push(
    `<line x1="${left + scale}" y1="42" x2="${left + scale}" y2="${height - 4}" stroke="#333" stroke-dasharray="3 3"/>`,
    '</svg>',
  );
  return `${parts.join('\n')}\n`;
}
