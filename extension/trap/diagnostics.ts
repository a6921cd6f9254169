/** A trap as entries of the Problems panel. */
import * as vscode from 'vscode';
import { findSource, type SourceContext } from '../sources.ts';
import { type Position, placeOf, shownName, type TrapView } from './view.ts';

/** Frames that are told along. */
const MAX_RELATED = 12;

function rangeOf(p: Position): vscode.Range {
  const line = Math.max(0, p.line - 1);
  // A column in bytes is close enough: the word there is marked. None: the whole line is.
  if (p.column === 0) return new vscode.Range(line, 0, line, Number.MAX_SAFE_INTEGER);
  return new vscode.Range(line, p.column - 1, line, p.column - 1);
}

/** The file and the diagnostic; null: no frame's source is on this machine. */
export function trapDiagnostic(
  view: TrapView,
  sources: SourceContext,
): { readonly uri: vscode.Uri; readonly diagnostic: vscode.Diagnostic } | null {
  const located = view.frames.flatMap(frame => {
    const path = frame.source === null ? null : findSource(frame.source.file, sources);
    return path === null || frame.source === null
      ? []
      : [{ frame, uri: vscode.Uri.file(path), position: frame.source }];
  });
  const { frame } = placeOf(view);
  const at = located.find(l => l.frame === frame) ?? located[0];
  if (!at) return null;
  const explanation = view.explanation[0] ? ` ${view.explanation[0]}` : '';
  const diagnostic = new vscode.Diagnostic(
    rangeOf(at.position),
    `trap: ${view.message} (${view.code}).${explanation}`,
    vscode.DiagnosticSeverity.Error,
  );
  diagnostic.source = 'lucet';
  diagnostic.code = view.code;
  diagnostic.relatedInformation = located
    .filter(l => l !== at)
    .slice(0, MAX_RELATED)
    .map(
      l =>
        new vscode.DiagnosticRelatedInformation(
          new vscode.Location(l.uri, rangeOf(l.position)),
          shownName(l.frame.functionName, l.frame.functionIndex),
        ),
    );
  return { uri: at.uri, diagnostic };
}

/** "Open Trap Inspector" beside a trap's diagnostic. */
export class TrapActions implements vscode.CodeActionProvider {
  static readonly metadata = { providedCodeActionKinds: [vscode.CodeActionKind.QuickFix] };

  provideCodeActions(
    _document: vscode.TextDocument,
    _range: vscode.Range,
    context: vscode.CodeActionContext,
  ): vscode.CodeAction[] {
    const diagnostics = context.diagnostics.filter(d => d.source === 'lucet');
    if (diagnostics.length === 0) return [];
    const action = new vscode.CodeAction('Open Trap Inspector', vscode.CodeActionKind.QuickFix);
    action.command = { command: 'lucet.trap.openLast', title: action.title };
    action.diagnostics = diagnostics;
    action.isPreferred = true;
    return [action];
  }
}
