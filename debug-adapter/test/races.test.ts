/**
 * Sessions that end while requests are under way, one behind and beside the other in one adapter. LUCET_SEEDS=from-to
 * runs others.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { Random } from '../../scripts/fuzz/random.ts';
import { AdapterServer } from './support/adapter-server.ts';
import { RaceSession, SOURCE, seen } from './support/race-session.ts';

const [FROM = 1, TO = 1] = (process.env.LUCET_SEEDS ?? '').split('-').filter(Boolean).map(Number);
const SESSIONS = 18;

let dir = '';
let adapter: AdapterServer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-races-'));
  writeFileSync(join(dir, 'race.c'), SOURCE);
  writeFileSync(join(dir, 'race.wasm'), await clang({ 'race.c': SOURCE }, ['-g', '-O0']));
  spawnSync('mkfifo', [join(dir, 'input')]);
  adapter = await AdapterServer.start({ XDG_CACHE_HOME: join(dir, 'cache') });
  // What the process begins with its first session, such as a thread that compiles, it keeps.
  await RaceSession.first(adapter, dir);
}, 120_000);
afterAll(async () => {
  await adapter.stop();
  rmSync(dir, { recursive: true, force: true });
});

it.each(Array.from({ length: TO - FROM + 1 }, (_, i) => FROM + i))(
  'seed %i: whatever is under way, each session ends, and leaves nothing',
  async seed => {
    expect(await RaceSession.run(new Random(seed), adapter, dir, SESSIONS)).toBe('');
  },
  120_000,
);

it('they have seen the program stopped, and ended', () => {
  expect(seen.stops).toBeGreaterThan(3);
  expect(seen.exits).toBeGreaterThan(0);
});
