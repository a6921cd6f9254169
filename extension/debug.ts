/** The debug type `lucet`: F5 without a launch.json on a .wasm or .wat, and how the adapter is started. */
import * as vscode from 'vscode';
import { type LucetContext, requireTrust, targetFile } from './context.ts';

/** Fill in what a launch configuration leaves out; undefined cancels the launch (the reason has been shown). */
function resolveConfiguration(config: vscode.DebugConfiguration): vscode.DebugConfiguration | undefined {
  if (!requireTrust('debugging')) return undefined;
  if (config.type) return config;
  const file = targetFile(undefined);
  if (!file || !/\.(wasm|wat)$/.test(file.fsPath)) {
    void vscode.window.showErrorMessage(
      'Lucet: open a .wasm or .wat file, or write a launch configuration with "program".',
    );
    return undefined;
  }
  return { type: 'lucet', request: 'launch', name: 'Lucet: run active file', program: file.fsPath };
}

export function debugRegistrations(context: LucetContext): vscode.Disposable[] {
  return [
    vscode.debug.registerDebugConfigurationProvider('lucet', {
      resolveDebugConfiguration: (_folder, config) => resolveConfiguration(config),
    }),
    vscode.debug.registerDebugAdapterDescriptorFactory('lucet', {
      createDebugAdapterDescriptor: () =>
        new vscode.DebugAdapterExecutable(process.execPath, [context.debugAdapter], {
          env: { ELECTRON_RUN_AS_NODE: '1' },
        }),
    }),
  ];
}
