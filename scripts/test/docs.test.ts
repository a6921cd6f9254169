/**
 * What documents say of the project must be there: the files they link to and name, and the commands they tell to run.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..', '..');
/** Made by the build or by npm, and what is hidden: no part of the sources. */
const MADE = /^(node_modules|dist|\.(?!ci\b).*)$/;
const sources = readdirSync(root)
  .filter(entry => !MADE.test(entry))
  .flatMap(entry =>
    statSync(join(root, entry)).isDirectory()
      ? readdirSync(join(root, entry), { recursive: true, encoding: 'utf8' }).map(path => `${entry}/${path}`)
      : [entry],
  );
const documents = sources.filter(path => path.endsWith('.md')).map(path => [path] as const);
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Named as the user's own, or as written by the build. */
const ELSEWHERE = new Set(['launch.json', 'runtime/native/abi.h', 'expected.json', 'NAME/NAME.c']);

/** The anchors of a document's headings, as GitHub makes them. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(m =>
    m[1]!
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

it('there are documents', () => {
  expect(documents.length).toBeGreaterThan(10);
});

describe.each(documents)('%s', path => {
  const text = readFileSync(join(root, path), 'utf8');

  it('links to what is there', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)/g)]
      .map(m => m[1]!)
      .filter(l => !/^(https?|command):/.test(l));
    const broken = links.filter(link => {
      const [file, anchor] = link.split('#');
      const target = file === '' ? join(root, path) : join(root, dirname(path), file!);
      if (!existsSync(target)) return true;
      return anchor !== undefined && !anchors(readFileSync(target, 'utf8')).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names files that are there', () => {
    const named = [...text.matchAll(/`([\w./*-]+\.(?:ts|mjs|c|h|S|md|json|sh))`/g)].map(m => m[1]!);
    const missing = named.filter(name => {
      if (ELSEWHERE.has(name) || name.startsWith('*')) return false;
      const pattern = name.replaceAll('.', '\\.').replaceAll('*', '[^/]*');
      const whole = new RegExp(`(^|/)${pattern}$`);
      return !sources.some(file => whole.test(file));
    });
    expect(missing).toEqual([]);
  });

  it('tells to run scripts that there are', () => {
    const run = [...text.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(m => m[1]!);
    expect(run.filter(name => !(name in scripts))).toEqual([]);
  });
});
