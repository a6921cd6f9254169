/** The extension's settings, read when they are needed. */
import * as vscode from 'vscode';
import type { Syntax } from '../compiler/objdump/disassemble.ts';

export type DirectoryGrant = string | { host: string; guest?: string; readonly?: boolean };

export interface Settings {
  readonly optLevel: '0' | '1' | '2';
  readonly targetCpu: string;
  /** Empty: beside the source. */
  readonly outputDirectory: string;
  readonly compileArgs: readonly string[];
  readonly runEnv: Readonly<Record<string, string>>;
  readonly runDirs: readonly DirectoryGrant[];
  readonly disassemblySyntax: Syntax;
  readonly sourceMap: Readonly<Record<string, string>>;
  readonly trapAutoOpen: 'once' | 'always' | 'never';
  readonly languageServer: boolean;
  /** Empty: none is set. */
  readonly clang: string;
}

export function readSettings(scope?: vscode.Uri): Settings {
  const config = vscode.workspace.getConfiguration('lucet', scope ?? null);
  const get = <T>(name: string, fallback: T): T => config.get<T>(name) ?? fallback;
  return {
    optLevel: get<Settings['optLevel']>('compile.optLevel', '2'),
    targetCpu: get('compile.targetCpu', 'native'),
    outputDirectory: get('compile.outputDirectory', ''),
    compileArgs: get('compile.args', []),
    runEnv: get('run.env', {}),
    runDirs: get('run.dirs', []),
    disassemblySyntax: get<Syntax>('debug.disassemblySyntax', 'intel'),
    sourceMap: get('debug.sourceMap', {}),
    trapAutoOpen: get<Settings['trapAutoOpen']>('trap.autoOpen', 'always'),
    languageServer: get('languageServer.enable', true),
    clang: get('toolchain.clang', ''),
  };
}
