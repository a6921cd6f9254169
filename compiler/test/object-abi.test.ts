/** The C header is complete, and a C compiler lays the records out as the TypeScript side reads them. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { abiHeader, ENUMS } from '../../scripts/gen-abi.ts';
import { ARTIFACT_MAGIC, CPU_FEATURES, RECORDS, recordLayout } from '../abi/artifact.ts';
import { BUILTINS } from '../abi/builtins.ts';
import { TRAPS } from '../abi/traps.ts';

const dir = mkdtempSync(join(tmpdir(), 'lucet-abi-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('every member of every enumeration is written', () => {
  const sources = ['../abi/artifact.ts', '../wasm/module.ts']
    .map(f => readFileSync(new URL(f, import.meta.url), 'utf8'))
    .join('\n');
  for (const { name, members } of ENUMS) {
    const body = new RegExp(`enum ${name} \\{(.*?)\\n\\}`, 's').exec(sources)![1]!;
    const found = [...body.matchAll(/^ {2}(\w+) = (\d+),/gm)].map(([, member, value]) => [
      member,
      Number(value),
    ]);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBe([...body.matchAll(/^ {2}\w+\b.*,/gm)].length);
    expect(Object.entries(members)).toEqual(found);
  }
  expect(TRAPS.map(t => t.code)).toEqual(TRAPS.map((_, i) => i));
});

const cc = spawnSync('cc', ['--version']).error === undefined;
if (!cc) console.warn('SKIPPED: there is no C compiler: layout of abi.h');

test.skipIf(!cc)('a C compiler agrees', () => {
  writeFileSync(join(dir, 'abi.h'), abiHeader());
  writeFileSync(
    join(dir, 'main.c'),
    `#include "abi.h"
#include <stdio.h>
#include <string.h>
int main(void) {
${RECORDS.map(r => `  printf("${r.name} %zu${r.fields.map(([f]) => ` ${f} %zu`).join('')}\\n", sizeof(struct lucet_${r.name})${r.fields.map(([f]) => `, offsetof(struct lucet_${r.name}, ${f})`).join('')});`).join('\n')}
#define TRAP(macro, code, name, spec) printf("trap %d %d %s %s\\n", LUCET_TRAP_##macro, code, name, spec);
  LUCET_TRAPS(TRAP)
#define BUILTIN(name, id, args) printf("builtin " #name " %d %d\\n", id, args);
  LUCET_BUILTINS(BUILTIN)
#define FEATURE(macro, bit, name) printf("feature %d %d %s\\n", LUCET_CPU_FEATURE_##macro, bit, name);
  LUCET_CPU_FEATURES(FEATURE)
  uint64_t magic = LUCET_ARTIFACT_MAGIC_U64;
  printf("%d\\n", memcmp(&magic, "${ARTIFACT_MAGIC}", 8));
  return 0;
}
`,
  );
  writeFileSync(join(dir, 'asm.S'), '#include "abi.h"\n.long LUCET_VMCTX_INSTANCE, LUCET_BUILTIN_COUNT\n');
  const build = spawnSync(
    'cc',
    [
      '-std=c11',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-pedantic',
      'main.c',
      'asm.S',
      '-o',
      'main',
      '-Wl,-z,noexecstack',
    ],
    { cwd: dir, encoding: 'utf8' },
  );
  expect([build.status, build.stderr]).toEqual([0, '']);
  const lines = spawnSync(join(dir, 'main'), { encoding: 'utf8' })
    .stdout.split('\n')
    .map(l => l.trim())
    .filter(l => l !== '');
  expect(lines).toEqual([
    ...RECORDS.map(r => {
      const { size, offsets } = recordLayout(r);
      return `${r.name} ${size}${r.fields.map(([f]) => ` ${f} ${offsets[f]}`).join('')}`;
    }),
    ...TRAPS.map(t => `trap ${t.code} ${t.code} ${t.name} ${t.spec}`.trim()),
    ...BUILTINS.map((b, i) => `builtin ${b.name} ${i} ${b.args}`),
    ...CPU_FEATURES.map((f, i) => `feature ${i} ${i} ${f}`),
    '0',
  ]);
});
