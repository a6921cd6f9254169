/** The official WebAssembly test scripts as JSON (the format is that of wast2json, with the modules inlined). */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(process.env.LUCET_SHARED ?? join(import.meta.dirname, '../../../../shared'), 'spec');

/** Whether the scripts are there; says so if not. */
export const suitePresent = existsSync(join(folder, 'index.json'));
if (!suitePresent) {
  console.warn(`spec suite: there are no WebAssembly test scripts in ${folder}: those tests are left out`);
}

export interface SpecValue {
  readonly type: string;
  /** v128: one for each lane. */
  readonly value?: string | readonly string[];
  readonly lane_type?: string;
}
export interface SpecAction {
  readonly type: 'invoke' | 'get';
  readonly module?: string;
  readonly field: string;
  readonly args?: readonly SpecValue[];
}
export interface SpecCommand {
  readonly type: string;
  readonly line: number;
  readonly name?: string;
  /** register */
  readonly as?: string;
  readonly text?: string;
  readonly module_type?: 'binary' | 'text';
  readonly module_b64?: string;
  readonly features?: readonly string[];
  readonly valid_with?: readonly string[];
  readonly action?: SpecAction;
  readonly expected?: readonly SpecValue[];
}
export interface SpecScript {
  readonly name: string;
  readonly commands: readonly SpecCommand[];
}

/** Groups that an engine of Wasm 2.0 runs; where both have a script of one name, the 2.0 edition is the one for us. */
export const CORE_GROUPS = ['mvp-and-2.0', 'core-2.0-edition'] as const;

export function scripts(group: string): SpecScript[] {
  return readdirSync(join(folder, group))
    .filter(f => f.endsWith('.json'))
    .map(f => {
      const { commands } = JSON.parse(readFileSync(join(folder, group, f), 'utf8')) as {
        commands: SpecCommand[];
      };
      return { name: `${group}/${f.slice(0, -5)}`, commands };
    });
}

export function moduleBytes(c: SpecCommand): Uint8Array {
  return Uint8Array.from(Buffer.from(c.module_b64!, 'base64'));
}
