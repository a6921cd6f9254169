/**
 * What each reader may do with damaged input: yield a valid result, or its own kind of error with a place; nothing
 * else.
 */
import { openDebugInfo } from '../compiler/debuginfo/index.ts';
import { openSourceMap } from '../compiler/debuginfo/source-map.ts';
import { DEFAULT_FEATURES } from '../compiler/features.ts';
import { CompileError, type CompileOptions, compile } from '../compiler/index.ts';
import { parseBindings } from '../compiler/wasi-bindings.ts';
import { decodeModule } from '../compiler/wasm/decode.ts';
import { locate } from '../compiler/wat/locate.ts';
import { encodeWat } from '../compiler/wat/translate.ts';
import { LoadError, Module } from '../runtime/index.ts';

/** What is wrong, or null. */
export type Verdict = string | null;

const wrong = (e: unknown): string => `threw ${(e as Error).stack ?? String(e)}`;

export function checkCompile(input: Uint8Array, options: Partial<CompileOptions>): Verdict {
  try {
    compile(input, options);
    return null;
  } catch (e) {
    if (!(e instanceof CompileError)) return wrong(e);
    return e.offset >= 0 || e.kind === 'limit' ? null : `CompileError without an offset: ${e.message}`;
  }
}

/** As lucetc does it: encode, compile, and find the place of what is wrong. */
export async function checkText(input: Uint8Array): Promise<Verdict> {
  const text = new TextDecoder().decode(input);
  let bytes: Uint8Array | null = null;
  try {
    bytes = await encodeWat('/hostile.wat', input);
    compile(bytes, { optLevel: 0 });
    return null;
  } catch (e) {
    if (!(e instanceof CompileError)) return wrong(e);
    try {
      const { position, message } = locate(e, text, bytes, DEFAULT_FEATURES);
      return position.line >= 1 && message !== '' ? null : `no place: ${e.message}`;
    } catch (thrown) {
      return wrong(thrown);
    }
  }
}

/** Asks for everything, at some hundred places of the code. */
export function checkDebugInfo(input: Uint8Array): Verdict {
  try {
    const { customSections, bodies } = decodeModule(input);
    const sections = new Map(customSections.map(s => [s.name, input.subarray(s.start, s.end)]));
    const info = openDebugInfo(sections);
    const from = bodies[0]?.start ?? 0;
    for (const { start, end } of bodies) {
      for (let at = start - from; at < end - from; at += 7) {
        info.lookup(at);
        info.statics(at);
        info.bodyStart(at);
        for (const call of info.calls(at)) info.variables(call);
      }
    }
    for (const file of info.files) info.positions(file);
    return info.warnings.length <= 100 ? null : 'too many warnings';
  } catch (e) {
    return e instanceof CompileError ? null : wrong(e);
  }
}

export function checkSourceMap(input: Uint8Array): Verdict {
  try {
    const info = openSourceMap(new TextDecoder().decode(input), 0, (source, root) => `${root}/${source}`);
    for (let at = 0; at < 400; at += 3) info.lookup(at);
    for (const file of info.files) info.positions(file);
    return null;
  } catch (e) {
    return wrong(e);
  }
}

export function checkBindings(input: Uint8Array): Verdict {
  try {
    parseBindings(new TextDecoder().decode(input));
    return null;
  } catch (e) {
    const { name, message } = e as Error;
    return (name === 'Error' || name === 'SyntaxError') && message !== '' ? null : wrong(e);
  }
}

/** What was compiled is loaded, too. */
export function checkLoadable(input: Uint8Array): Verdict {
  try {
    Module.fromBytes(compile(input, { verify: true })).dispose();
    return null;
  } catch (e) {
    if (!(e instanceof CompileError)) return wrong(e);
    return e.offset >= 0 || e.kind === 'limit' ? null : `CompileError without an offset: ${e.message}`;
  }
}

export function checkLoad(input: Uint8Array): Verdict {
  try {
    Module.fromBytes(input).dispose();
    return 'a damaged artifact was accepted';
  } catch (e) {
    return e instanceof LoadError ? null : wrong(e);
  }
}
