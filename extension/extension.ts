/** Activation: the one context object that owns the extension's state, and what it registers. */
import * as vscode from 'vscode';
import { compileCommand, runCommand } from './commands.ts';
import { LucetContext } from './context.ts';
import { debugRegistrations } from './debug.ts';

export function activate(extension: vscode.ExtensionContext): void {
  const context = new LucetContext(extension.extensionPath);
  extension.subscriptions.push(
    context,
    vscode.commands.registerCommand('lucet.compile', (uri?: vscode.Uri) => compileCommand(context, uri)),
    vscode.commands.registerCommand('lucet.run', (uri?: vscode.Uri) => runCommand(context, uri)),
    vscode.commands.registerCommand('lucet.showOutput', () => context.log.show()),
    ...debugRegistrations(context),
  );
}
