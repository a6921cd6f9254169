/** The manifest and the code must name the same things. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parseFailure } from '../compile.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const source = readdirSync(join(root, 'extension'), { recursive: true, encoding: 'utf8' })
  .filter(f => f.endsWith('.ts') && !f.includes('test'))
  .map(f => readFileSync(join(root, 'extension', f), 'utf8'))
  .join('\n');

describe('manifest', () => {
  it('contributes exactly the commands that are registered', () => {
    const contributed = manifest.contributes.commands.map((c: { command: string }) => c.command).sort();
    const registered = [...source.matchAll(/registerCommand\(\s*'([^']+)'/g)].map(m => m[1]!).sort();
    expect(registered).toEqual(contributed);
  });

  it('has menu entries for contributed commands only', () => {
    const contributed = new Set(manifest.contributes.commands.map((c: { command: string }) => c.command));
    const used = Object.values<{ command: string }[]>(manifest.contributes.menus).flat();
    expect(used.filter(m => !contributed.has(m.command))).toEqual([]);
  });

  it('has the settings that are read, and no others', () => {
    const declared = Object.keys(manifest.contributes.configuration.properties).map(k => k.slice(6));
    const read = [...source.matchAll(/get(?:<[^(]*>)?\('([a-zA-Z]+\.[a-zA-Z]+)'/g)].map(m => m[1]!);
    expect(read.sort()).toEqual(declared.sort());
  });

  it('packs for npm the commands and what they load, all of which is there', () => {
    const patterns: string[] = manifest.files;
    const made = 'dist/types';
    expect(patterns.filter(f => !f.includes('*') && f !== made && !existsSync(join(root, f)))).toEqual([]);
    const packed = (path: string): boolean =>
      patterns.some(p => new RegExp(`^${p.replaceAll('.', '\\.').replace('*', '[^/]*')}$`).test(path));
    const commands = Object.values<string>(manifest.bin);
    const scripts = commands.filter(f => f.startsWith('bin/'));
    const bundles = scripts.flatMap(
      f => /dist\/[\w.-]+\.c?js/.exec(readFileSync(join(root, f), 'utf8'))?.[0] ?? [],
    );
    expect(bundles).toHaveLength(scripts.length - 1); // lucet-config loads nothing.
    expect([...commands, ...bundles].filter(f => !packed(f))).toEqual([]);
  });

  it('has what the list of extensions shows', () => {
    const allowed = ['Programming Languages', 'Debuggers', 'Visualization', 'Other'];
    expect(manifest.categories.filter((c: string) => !allowed.includes(c))).toEqual([]);
    expect(manifest.keywords.length).toBeLessThanOrEqual(30);
    expect(manifest.galleryBanner).toEqual({ color: expect.stringMatching(/^#[0-9a-f]{6}$/), theme: 'dark' });
  });

  it('has the icon that scripts/icon.mjs draws', () => {
    const png = readFileSync(join(root, manifest.icon));
    // After the signature and the header there is one block of compressed rows, each behind the number of its filter:
    // 0.
    const rows = inflateSync(png.subarray(41, 41 + png.readUInt32BE(33)));
    const script = join(root, 'scripts', 'icon.mjs');
    const drawn = execFileSync(process.execPath, [
      '--input-type=module',
      '-e',
      `import { iconPixels } from ${JSON.stringify(pathToFileURL(script).href)}; process.stdout.write(iconPixels());`,
    ]);
    const stored = Array.from({ length: 128 }, (_, y) => rows.subarray(y * 513 + 1, (y + 1) * 513));
    expect(Buffer.concat(stored).equals(drawn)).toBe(true);
  });

  it('names files that are there', () => {
    const { languages, walkthroughs } = manifest.contributes;
    const files = [
      languages[0].configuration,
      ...walkthroughs[0].steps.map((s: { media: { markdown: string } }) => s.media.markdown),
    ];
    expect(files.filter(f => !existsSync(join(root, f)))).toEqual([]);
  });

  it('names contributed commands in the walkthrough', () => {
    const contributed = new Set(manifest.contributes.commands.map((c: { command: string }) => c.command));
    const named = [
      ...JSON.stringify(manifest.contributes.walkthroughs).matchAll(/(?:command:|onCommand:)([\w.]+)/g),
    ];
    expect(named.map(m => m[1]).filter(c => !contributed.has(c))).toEqual([]);
  });

  it('never activates on everything', () => {
    expect(manifest.activationEvents).not.toContain('*');
  });
});

describe('parseFailure', () => {
  it('takes the message and the offset from the JSON line, whatever else was printed', () => {
    const stderr =
      '(node:1) Warning: x\n{"error":{"kind":"invalid","message":"type mismatch","offset":52}}\n';
    expect(parseFailure(stderr)).toEqual({ kind: 'invalid', message: 'type mismatch', offset: 52 });
  });

  it('falls back to the text', () => {
    expect(parseFailure('Segmentation fault\n')).toEqual({ message: 'Segmentation fault', kind: 'io' });
  });
});
