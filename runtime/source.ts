/** Source positions of places in a module, from the debug sections that its artifact carries. */
import { readFileSync } from 'node:fs';
import { type DebugInfo, openDebugInfo } from '../compiler/debuginfo/index.ts';
import { ArtifactError, readArtifact } from '../compiler/object/artifact-reader.ts';
import type { Module } from './module.ts';

export interface SourcePosition {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1; 0: the whole line. */
  readonly column: number;
}

interface Lines {
  readonly info: DebugInfo;
  readonly codeStart: number;
}

/** null: it has none. */
const opened = new WeakMap<Module, Lines | null>();

/**
 * Where a byte of the wasm module comes from; null: not known. Reads the artifact when first asked for a module.
 * @param wasmOffset byte offset in the wasm module
 */
export function sourceLookup(module: Module, wasmOffset: number): SourcePosition | null {
  let lines = opened.get(module);
  if (lines === undefined) opened.set(module, (lines = open(module)));
  return lines === null ? null : lines.info.lookup(wasmOffset - lines.codeStart);
}

function open(module: Module): Lines | null {
  try {
    const bytes = module.sourceBytes ?? (module.path === null ? null : readFileSync(module.path));
    if (bytes === null) return null;
    const artifact = readArtifact(bytes);
    // The file may have been written anew since it was loaded.
    if (artifact.moduleHash !== module.hash || artifact.debugSections.size === 0) return null;
    return { info: openDebugInfo(artifact.debugSections), codeStart: artifact.codeStart };
  } catch (e) {
    // A report without lines is better than none: the file may be gone by now.
    if (e instanceof ArtifactError || (e instanceof Error && 'code' in e)) return null;
    throw e;
  }
}
