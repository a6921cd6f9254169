/** Test scripts of the official suite in their JSON form: the shape of a file, and reading one. */

export interface ScriptValue {
  readonly type: string;
  readonly lane_type?: LaneType;
  readonly value?: string | readonly string[];
  /** type `either` */
  readonly values?: readonly ScriptValue[];
}
export type LaneType = 'i8' | 'i16' | 'i32' | 'i64' | 'f32' | 'f64';

export interface ScriptAction {
  readonly type: 'invoke' | 'get';
  /** Instance; without it, the current one. */
  readonly module?: string;
  readonly field: string;
  readonly args?: readonly ScriptValue[];
}

interface ModuleFields {
  readonly module_type: 'binary' | 'text';
  readonly module_b64: string;
  /** What the module needs beyond Wasm 2.0 without SIMD. */
  readonly features?: readonly string[];
  /** On assert_invalid and assert_malformed: valid after all for an engine with all of these. */
  readonly valid_with?: readonly string[];
}

export type Command = { readonly line: number } & (
  | ({ readonly type: 'module'; readonly name?: string } & ModuleFields)
  | ({ readonly type: 'module_definition'; readonly name?: string } & ModuleFields)
  | { readonly type: 'module_instance'; readonly instance?: string; readonly module?: string }
  | { readonly type: 'register'; readonly name?: string; readonly as: string }
  | { readonly type: 'action'; readonly action: ScriptAction }
  | {
      readonly type: 'assert_return';
      readonly action: ScriptAction;
      readonly expected: readonly ScriptValue[];
    }
  | { readonly type: 'assert_trap'; readonly action: ScriptAction; readonly text: string }
  | { readonly type: 'assert_exhaustion'; readonly action: ScriptAction; readonly text: string }
  | { readonly type: 'assert_exception'; readonly action: ScriptAction }
  | ({ readonly type: RejectType; readonly text: string } & ModuleFields)
  | ({ readonly type: 'assert_unlinkable'; readonly text: string } & ModuleFields)
  | ({ readonly type: 'assert_uninstantiable'; readonly text: string } & ModuleFields)
  | { readonly type: 'thread' | 'wait' }
);

export type RejectType =
  | 'assert_invalid'
  | 'assert_malformed'
  | 'assert_invalid_custom'
  | 'assert_malformed_custom';

export type ModuleCommand = Extract<Command, ModuleFields>;

export interface Script {
  readonly source_filename: string;
  /** Union of its modules' features. */
  readonly features: readonly string[];
  readonly commands: readonly Command[];
}

/** @throws Error when the text is not a script */
export function parseScript(text: string, path: string): Script {
  const script = JSON.parse(text) as Partial<Script>;
  if (!Array.isArray(script.commands) || !Array.isArray(script.features)) {
    throw new Error(`${path} is not a test script: it has no commands or no features`);
  }
  return script as Script;
}

export function moduleOf(command: ModuleCommand): Uint8Array {
  return new Uint8Array(Buffer.from(command.module_b64, 'base64'));
}
