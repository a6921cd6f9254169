/**
 * Debug sessions of a client that does anything: each request has one response, events come in an order that makes
 * sense, and all ends. LUCET_SEEDS=from-to runs others.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../scripts/fuzz/random.ts';
import { PROGRAMS, RandomSession } from './support/random-session.ts';

const [FROM = 1, TO = 2] = (process.env.LUCET_SEEDS ?? '').split('-').filter(Boolean).map(Number);
const REQUESTS = 80;

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-random-client-'));
  for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(dir, name), text);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it.each(Array.from({ length: TO - FROM + 1 }, (_, i) => FROM + i))(
  'seed %i: each request has one response, and all ends',
  async seed => {
    expect(await new RandomSession(new Random(seed), dir, join(dir, 'cache')).run(REQUESTS)).toBe('');
  },
);
