import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findWorkloads } from '../workload.ts';

const folder = mkdtempSync(join(tmpdir(), 'lucet-workloads-'));
for (const name of ['two', 'one']) {
  mkdirSync(join(folder, name));
  writeFileSync(join(folder, name, `${name}.wasm`), '');
}
mkdirSync(join(folder, 'sources'));
writeFileSync(join(folder, 'expected.json'), '{"one": {"stdout": "1"}}');
afterAll(() => rmSync(folder, { recursive: true }));

describe('workloads', () => {
  it('are those of a folder, with what is expected of them', () => {
    const found = findWorkloads(folder, []).map(w => [w.name, w.expected?.stdout ?? null]);
    expect(found).toEqual([
      ['one', '1'],
      ['two', null],
    ]);
  });

  it('are one, by its own folder', () => {
    const [one, ...others] = findWorkloads(join(folder, 'one'), []);
    expect(others).toEqual([]);
    expect(one).toMatchObject({ name: 'one', folder: join(folder, 'one'), expected: { stdout: '1' } });
  });

  it('are missed where there is none', () => {
    expect(() => findWorkloads(join(folder, 'sources'), [])).toThrow('has no workload');
  });
});
