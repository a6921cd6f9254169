/** Activation: the one context object that owns the extension's state, and what it registers. */
import * as vscode from 'vscode';
import { compileAll, compileWithCommand, debugCommand, inspectCommand, runCommand } from './commands.ts';
import { LucetContext } from './context.ts';
import { debugRegistrations } from './debug.ts';
import { ModuleInspector } from './inspector/editor.ts';
import { LanguageServer } from './language-server.ts';
import { LucetTasks } from './tasks.ts';
import { viewRegistrations } from './views.ts';

export function activate(extension: vscode.ExtensionContext): void {
  const context = new LucetContext(extension);
  const server = new LanguageServer(context);
  const { registerCommand } = vscode.commands;
  extension.subscriptions.push(
    context,
    server,
    registerCommand('lucet.compile', (uri?: vscode.Uri, all?: unknown) => compileAll(context, uri, all)),
    registerCommand('lucet.compileWith', (uri?: vscode.Uri) => compileWithCommand(context, uri)),
    registerCommand('lucet.run', (uri?: vscode.Uri, what?: object) => runCommand(context, uri, what)),
    registerCommand('lucet.debug', (uri?: vscode.Uri, what?: object) => debugCommand(context, uri, what)),
    registerCommand('lucet.inspectModule', (uri?: vscode.Uri) => inspectCommand(context, uri)),
    registerCommand('lucet.trap.open', (uri?: vscode.Uri) => context.traps.open(uri)),
    registerCommand('lucet.trap.openLast', () => context.traps.openLast()),
    registerCommand('lucet.trap.exportCoredump', () => context.traps.exportCoredump()),
    registerCommand('lucet.instance.pause', () => context.runs.pause()),
    registerCommand('lucet.instance.kill', () => context.runs.kill()),
    registerCommand('lucet.instance.menu', () => context.runs.menu()),
    registerCommand('lucet.restartServer', () => server.restart()),
    registerCommand('lucet.showOutput', () => context.log.show()),
    registerCommand('lucet.openWalkthrough', () =>
      vscode.commands.executeCommand(
        'workbench.action.openWalkthrough',
        `${extension.extension.id}#lucet.start`,
      ),
    ),
    ...viewRegistrations(context),
    ...debugRegistrations(context),
    vscode.tasks.registerTaskProvider('lucet', new LucetTasks(context)),
    vscode.window.registerCustomEditorProvider(ModuleInspector.viewType, new ModuleInspector(context), {
      supportsMultipleEditorsPerDocument: true,
    }),
  );
  void server.start();
}
