/** Modules for views: opened once, compiled when machine code is asked for. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type DebugInfo, openDebugInfo } from '../../compiler/debuginfo/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { instructions, type Syntax } from '../../compiler/objdump/disassemble.ts';
import { type Artifact, readArtifact } from '../../compiler/object/artifact-reader.ts';
import { defaultOptions } from '../../compiler/options.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { compileParallel } from '../../compiler/threads/parallel.ts';
import { decodeModule } from '../../compiler/wasm/decode.ts';
import type { Module } from '../../compiler/wasm/module.ts';
import { printFunction } from '../../compiler/wasm/print.ts';
import { isWasm } from '../../compiler/wasm/wat.ts';
import { encodeWat } from '../../compiler/wat/translate.ts';
import type { FunctionCode, ModuleSummary, NativeRow, Requests, WatRow } from './protocol.ts';
import { summarize } from './summary.ts';

/** What a view shows of one function; a larger one is cut, and the note says so. */
const MAX_ROWS = 20_000;
const MAX_TEXT = 50_000_000;
/** Opened modules that are kept. */
const KEPT = 4;

interface Opened {
  readonly module: Module;
  readonly hash: string;
  readonly stamp: string;
  debug: DebugInfo | null | undefined;
  artifact: Promise<Artifact> | null;
}

const opened = new Map<string, Promise<Opened>>();

const stampOf = (path: string): string => {
  const { mtimeMs, size, ino } = statSync(path);
  return `${mtimeMs} ${size} ${ino}`;
};

async function open(path: string): Promise<Opened> {
  const known = opened.get(path);
  if (known) {
    const entry = await known.catch(() => null);
    if (entry && entry.stamp === stampOf(path)) return entry;
    opened.delete(path);
  }
  const entry = load(path);
  opened.set(path, entry);
  if (opened.size > KEPT) opened.delete(opened.keys().next().value!);
  return entry;
}

async function load(path: string): Promise<Opened> {
  const stamp = stampOf(path);
  let bytes: Uint8Array = readFileSync(path);
  if (!isWasm(bytes)) bytes = await encodeWat(path, bytes);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
  return { module: decodeModule(bytes), hash, stamp, debug: undefined, artifact: null };
}

function compiled(entry: Opened): Promise<Artifact> {
  entry.artifact ??= (async () => {
    const options = defaultOptions({
      features: resolveFeatures('native', [], nativeFeatures()),
      workers: Math.min(8, availableParallelism()),
      debugInfo: false,
    });
    const { artifact } = await compileParallel(entry.module, options, () => {});
    return readArtifact(artifact);
  })();
  return entry.artifact;
}

function debugInfo(entry: Opened): DebugInfo | null {
  if (entry.debug === undefined) {
    const { bytes, customSections } = entry.module;
    const sections = new Map(
      customSections
        .filter(s => s.name.startsWith('.debug_'))
        .map(s => [s.name, bytes.subarray(s.start, s.end)]),
    );
    entry.debug = sections.size === 0 ? null : openDebugInfo(sections);
  }
  return entry.debug;
}

function checkIndex({ module }: Opened, index: number): void {
  if (!(index >= module.importedFunctions && index < module.functions.length))
    throw new Error(`function ${index} has no code in this module`);
}

function watRows(entry: Opened, index: number): { rows: WatRow[]; files: string[]; cut: boolean } {
  const info = debugInfo(entry);
  const files: string[] = [];
  const numbers = new Map<string, number>();
  const lines = printFunction(entry.module, index);
  const rows = lines.slice(0, MAX_ROWS).map(({ offset, depth, text }): WatRow => {
    const at = info?.lookup(offset - entry.module.codeStart) ?? null;
    if (at === null || at.line === 0) return { offset, depth, text, file: -1, line: -1 };
    let file = numbers.get(at.file);
    if (file === undefined) {
      numbers.set(at.file, (file = files.length));
      files.push(at.file);
    }
    return { offset, depth, text, file, line: at.line };
  });
  return { rows, files, cut: lines.length > MAX_ROWS };
}

async function nativeRows(
  artifact: Artifact,
  index: number,
  syntax: Syntax | undefined,
): Promise<{ rows: NativeRow[]; cut: boolean }> {
  const { default: iced, ...named } = await import('iced-x86');
  const rows: NativeRow[] = [];
  for (const i of instructions(artifact, iced ?? named, index, MAX_ROWS + 1, syntax)) {
    const { address, pc, text, wasmOffset, note } = i;
    rows.push({ address, pc, bytes: Buffer.from(i.bytes).toString('hex'), text, wasmOffset, note });
  }
  return { rows: rows.slice(0, MAX_ROWS), cut: rows.length > MAX_ROWS };
}

export async function summary(path: string): Promise<ModuleSummary> {
  const entry = await open(path);
  return summarize(path, entry.module, entry.hash);
}

export async function codeOf(p: Requests['code']['request']): Promise<FunctionCode> {
  const { path, index, native, syntax } = p;
  const entry = await open(path);
  checkIndex(entry, index);
  const wat = watRows(entry, index);
  const machine = native ? await nativeRows(await compiled(entry), index, syntax) : null;
  return {
    index,
    name: entry.module.names.functions.get(index) ?? '',
    files: wat.files,
    wat: wat.rows,
    native: machine?.rows ?? null,
    note: wat.cut || machine?.cut ? `Only the first ${MAX_ROWS.toLocaleString('en')} lines are shown.` : '',
  };
}

export async function nativeSizes(path: string): Promise<readonly number[]> {
  const entry = await open(path);
  const artifact = await compiled(entry);
  const { importedFunctions, bodies } = entry.module;
  return bodies.map((_, i) => artifact.func(importedFunctions + i).length);
}

export async function trapCode(
  p: Requests['trapCode']['request'],
): Promise<Requests['trapCode']['response']> {
  const notes: string[] = [];
  let native: NativeRow[] | null = null;
  let name = '';
  if (p.artifact !== null) {
    try {
      const artifact = readArtifact(readFileSync(p.artifact));
      if (artifact.moduleHash !== p.hash) notes.push('The compiled module has changed since.');
      else {
        native = (await nativeRows(artifact, p.index, p.syntax)).rows;
        name = artifact.func(p.index).name;
      }
    } catch (e) {
      notes.push(e instanceof Error ? e.message : String(e));
    }
  }
  for (const path of p.candidates) {
    const entry = await open(path).catch(() => null);
    if (entry === null || entry.hash !== p.hash) continue;
    checkIndex(entry, p.index);
    native ??= (await nativeRows(await compiled(entry), p.index, p.syntax)).rows;
    const { rows, files } = watRows(entry, p.index);
    return { index: p.index, name, files, wat: rows, native, note: notes.join(' '), module: path };
  }
  notes.push('The .wasm it was compiled from was not found beside it.');
  return { index: p.index, name, files: [], wat: null, native, note: notes.join(' '), module: null };
}

export async function textOf({ path, native, syntax }: Requests['text']['request']): Promise<string> {
  const entry = await open(path);
  const { module } = entry;
  const parts: string[] = [];
  let length = 0;
  const push = (text: string): boolean => {
    parts.push(text);
    length += text.length + 1;
    if (length < MAX_TEXT) return true;
    parts.push(';; more is not shown');
    return false;
  };
  if (native) {
    const { disassembleFunction } = await import('../../compiler/objdump/disassemble.ts');
    const { default: iced, ...named } = await import('iced-x86');
    const artifact = await compiled(entry);
    for (let i = module.importedFunctions; i < module.functions.length; i++) {
      if (!push(disassembleFunction(artifact, iced ?? named, i, syntax))) break;
    }
    return parts.join('\n');
  }
  const s = summarize(path, module, entry.hash);
  push('(module');
  const declarations = [
    ...s.imports.map(
      i => `(import ${JSON.stringify(i.module)} ${JSON.stringify(i.name)} (${i.kind}${i.type}))`,
    ),
    ...s.memories.map((m, i) => `(memory (;${i};) ${m})`),
    ...s.tables.map((t, i) => `(table (;${i};) ${t})`),
    ...s.globals.map((g, i) => `(global (;${i};) ${g})`),
    ...s.exports.map(e => `(export ${JSON.stringify(e.name)} (${e.kind} ${e.index}))`),
  ];
  for (const line of declarations) if (!push(`  ${line}`)) return parts.join('\n');
  for (let i = module.importedFunctions; i < module.functions.length; i++) {
    const lines = printFunction(module, i).map(l => `  ${'  '.repeat(l.depth)}${l.text}`);
    if (!push(lines.join('\n'))) break;
  }
  push(')');
  return parts.join('\n');
}
