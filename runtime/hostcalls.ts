/** Functions of the host that guests call. */
import type { EmbedContexts } from './embed.ts';
import type { Memory } from './externs.ts';
import type { Instance } from './instance.ts';
import { type FuncType, signatureText } from './types.ts';

/** Any function: arguments come as the import's type says. */
export type HostCallback = (...args: never[]) => unknown;

/** The calling instance, as a host function sees it. */
export interface Vmctx {
  readonly instance: Instance;
  /** Of the calling instance. */
  readonly embed: EmbedContexts;
  /** Memory `index` of the calling module. @throws RangeError when it has none */
  memory(index?: number): Memory;
}

export interface HostFunctionOptions {
  /** Checked when linking. Without it, the function takes the type of whatever imports it. */
  readonly type?: FuncType;
  /** Hand the function a Vmctx, before its arguments. */
  readonly vmctx?: boolean;
}

/** A host function with a declared type or other options; a plain function has none. */
export class HostFunction {
  readonly callback: HostCallback;
  readonly type: FuncType | null;
  readonly wantsVmctx: boolean;
  /** As lucet_import.signature; null: taken as the module says. */
  readonly signature: string | null;

  constructor(callback: HostCallback, options: HostFunctionOptions = {}) {
    this.callback = callback;
    this.type = options.type ?? null;
    this.wantsVmctx = options.vmctx ?? false;
    this.signature = this.type === null ? null : signatureText(this.type);
  }
}

/** A host function bound to an import of a module. */
export interface HostBinding {
  readonly callback: (...args: unknown[]) => unknown;
  readonly wantsVmctx: boolean;
  readonly type: FuncType;
  /** For messages: `"module" "name"`. */
  readonly label: string;
}

export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
