/** Launch requests: what a launch configuration may hold, checked, and the command line of lucet-wasi that it stands for. */
import type { DebugProtocol } from '@vscode/debugprotocol';

export interface LaunchArguments extends DebugProtocol.LaunchRequestArguments {
  readonly program: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly inheritEnv?: boolean;
  readonly dirs?: readonly (
    | string
    | { readonly host: string; readonly guest?: string; readonly readonly?: boolean }
  )[];
  readonly entrypoint?: string;
}

/** A launch configuration that can't be used: the message is for its author. */
export class LaunchError extends Error {
  override readonly name = 'LaunchError';
}

const isString = (v: unknown): v is string => typeof v === 'string';

/** Check a launch request's arguments. Throws LaunchError naming the attribute. */
export function checkLaunch(request: DebugProtocol.LaunchRequestArguments): LaunchArguments {
  const a = request as Record<string, unknown> & LaunchArguments;
  const fail = (name: string, expected: string): never => {
    throw new LaunchError(`launch configuration: "${name}" must be ${expected}`);
  };
  if (!isString(a.program) || a.program === '') fail('program', 'the path of a .wasm, .wat or .so file');
  if (a.args !== undefined && !(Array.isArray(a.args) && a.args.every(isString)))
    fail('args', 'a list of strings');
  if (a.cwd !== undefined && !isString(a.cwd)) fail('cwd', 'a path');
  if (a.entrypoint !== undefined && !isString(a.entrypoint))
    fail('entrypoint', 'the name of an exported function');
  if (
    a.env !== undefined &&
    !(typeof a.env === 'object' && a.env !== null && Object.values(a.env).every(isString))
  ) {
    fail('env', 'an object of strings');
  }
  if (
    a.dirs !== undefined &&
    !(Array.isArray(a.dirs) && a.dirs.every(d => isString(d) || isString(d?.host)))
  ) {
    fail('dirs', 'a list of "host::guest" strings or {host, guest, readonly} objects');
  }
  return a;
}

/** Options and arguments of lucet-wasi for a launch. */
export function lucetWasiArguments(launch: LaunchArguments): string[] {
  const options: string[] = [];
  for (const dir of launch.dirs ?? []) {
    if (typeof dir === 'string') options.push('--dir', dir);
    else options.push(dir.readonly ? '--readonly-dir' : '--dir', `${dir.host}::${dir.guest ?? dir.host}`);
  }
  if (launch.inheritEnv) options.push('--inherit-env');
  for (const [name, value] of Object.entries(launch.env ?? {})) options.push('--env', `${name}=${value}`);
  if (launch.entrypoint !== undefined) options.push('--entrypoint', launch.entrypoint);
  return [...options, launch.program, ...(launch.args ?? [])];
}
