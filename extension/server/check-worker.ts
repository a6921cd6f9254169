/** A thread that checks and compiles texts, so that the server answers while it does. It may be ended at any time. */
import { parentPort } from 'node:worker_threads';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { defaultOptions } from '../../compiler/options.ts';
import { FunctionCompiler } from '../../compiler/pipeline.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { checkWat, type Problem } from '../../compiler/wat/check.ts';

export interface CheckRequest {
  readonly id: number;
  readonly what: 'check' | 'sizes';
  readonly fileName: string;
  readonly text: string;
}
export interface CheckResponse {
  readonly id: number;
  readonly problems: readonly Problem[];
  /** Bytes of native code by function index; empty unless asked for, and for what is invalid. */
  readonly sizes: readonly number[];
}

async function answer(request: CheckRequest): Promise<CheckResponse> {
  const { id, what, fileName, text } = request;
  const { problems, module } = await checkWat(fileName, text, undefined);
  if (what === 'check' || problems.length > 0 || module === null) return { id, problems, sizes: [] };
  const options = defaultOptions({ features: resolveFeatures('native', [], nativeFeatures()) });
  const compiler = new FunctionCompiler(module, options);
  const sizes = Array.from({ length: module.functions.length }, (_, i) =>
    i < module.importedFunctions ? 0 : (compiler.compile(i)?.code.length ?? 0),
  );
  return { id, problems, sizes };
}

parentPort!.on('message', (request: CheckRequest) => {
  answer(request).then(
    response => parentPort!.postMessage(response),
    (e: unknown) => {
      // A defect of the compiler's: it must be seen, and not take the server down.
      const message = e instanceof Error ? e.message : String(e);
      parentPort!.postMessage({ id: request.id, problems: [{ start: 0, end: 0, message }], sizes: [] });
    },
  );
});
