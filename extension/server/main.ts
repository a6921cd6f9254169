/**
 * The language server for the text format: a process of its own. What it knows comes from the model of the text and
 * from our validator.
 */
import { fileURLToPath } from 'node:url';
import {
  CompletionItemKind,
  createConnection,
  type Diagnostic,
  DiagnosticSeverity,
  DidChangeConfigurationNotification,
  FoldingRangeKind,
  MarkupKind,
  ProposedFeatures,
  type Range,
  ResponseError,
  SemanticTokensBuilder,
  SymbolKind,
  TextDocumentSyncKind,
  TextDocuments,
} from 'vscode-languageserver/node';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { type ModuleModel, modelOf, type Range as TextRange } from '../../compiler/wat/model.ts';
import { parseTree } from '../../compiler/wat/tree.ts';
import { Checker, CheckTimeout } from './checker.ts';
import * as features from './features.ts';

const CHECK_DELAY_MS = 250;
/** Larger texts are not compiled for a hover. */
const MAX_SIZED_TEXT = 300_000;
const HOVER_WAIT_MS = 1500;
const INVALID_PARAMS = -32602;

const connection = createConnection(ProposedFeatures.all);
const documents = new TextDocuments(TextDocument);
const checker = new Checker(new URL('./wat-check.js', import.meta.url));

interface State {
  readonly version: number;
  readonly model: ModuleModel;
  sizes: Promise<readonly number[]> | null;
}
const states = new Map<string, State>();
const timers = new Map<string, NodeJS.Timeout>();

function stateOf(document: TextDocument): State {
  const known = states.get(document.uri);
  if (known?.version === document.version) return known;
  const state: State = {
    version: document.version,
    model: modelOf(parseTree(document.getText())),
    sizes: null,
  };
  states.set(document.uri, state);
  return state;
}

const rangeOf = (document: TextDocument, range: TextRange): Range => ({
  start: document.positionAt(range.start),
  end: document.positionAt(range.end),
});

function nameOf(document: TextDocument): string {
  return document.uri.startsWith('file:') ? fileURLToPath(document.uri) : 'module.wat';
}

// ---- Diagnostics

function schedule(document: TextDocument): void {
  clearTimeout(timers.get(document.uri));
  timers.set(
    document.uri,
    setTimeout(() => void check(document), CHECK_DELAY_MS),
  );
}

async function check(document: TextDocument): Promise<void> {
  // Test scripts hold several modules and assertions: they are no module.
  if (document.uri.endsWith('.wast')) return;
  const { version, uri } = document;
  let problems: readonly (TextRange & { message: string })[];
  try {
    ({ problems } = await checker.run('check', nameOf(document), document.getText()));
  } catch (e) {
    problems = [
      {
        start: 0,
        end: 0,
        message: e instanceof CheckTimeout ? 'Checking this module takes too long.' : String(e),
      },
    ];
  }
  // A newer text has been scheduled.
  if (documents.get(uri)?.version !== version) return;
  const diagnostics = problems.map(
    (p): Diagnostic => ({
      range: rangeOf(document, p),
      message: p.message,
      severity: DiagnosticSeverity.Error,
      source: 'lucetc',
    }),
  );
  await connection.sendDiagnostics({ uri, version, diagnostics });
}

documents.onDidChangeContent(e => schedule(e.document));
documents.onDidClose(e => {
  clearTimeout(timers.get(e.document.uri));
  timers.delete(e.document.uri);
  states.delete(e.document.uri);
  void connection.sendDiagnostics({ uri: e.document.uri, diagnostics: [] });
});

// ---- Features

connection.onInitialize(() => ({
  capabilities: {
    textDocumentSync: TextDocumentSyncKind.Incremental,
    hoverProvider: true,
    definitionProvider: true,
    referencesProvider: true,
    documentHighlightProvider: true,
    documentSymbolProvider: true,
    renameProvider: { prepareProvider: true },
    foldingRangeProvider: true,
    completionProvider: { triggerCharacters: ['(', '$', '.'] },
    codeLensProvider: {},
    semanticTokensProvider: {
      legend: { tokenTypes: [...features.TOKEN_TYPES], tokenModifiers: [] },
      full: true,
    },
  },
}));
connection.onNotification(DidChangeConfigurationNotification.type, () => {});

/** The document and its model, or null: it has been closed. */
function lookup(uri: string): { document: TextDocument; state: State; model: ModuleModel } | null {
  const document = documents.get(uri);
  if (!document) return null;
  const state = stateOf(document);
  return { document, state, model: state.model };
}

async function nativeSize(document: TextDocument, state: State, index: number): Promise<number | null> {
  const text = document.getText();
  if (text.length > MAX_SIZED_TEXT) return null;
  state.sizes ??= checker.run('sizes', nameOf(document), text).then(
    r => r.sizes,
    () => [],
  );
  const late = new Promise<null>(resolve => setTimeout(() => resolve(null), HOVER_WAIT_MS));
  return (await Promise.race([state.sizes, late]))?.[index] ?? null;
}

connection.onHover(async ({ textDocument, position }) => {
  const at = lookup(textDocument.uri);
  const hover = at && features.hoverAt(at.model, at.document.offsetAt(position));
  if (!hover) return null;
  let { text } = hover;
  if (hover.func) {
    const size = await nativeSize(at.document, at.state, hover.func.index);
    if (size) text += `, ${size.toLocaleString('en')} bytes of native code`;
  }
  // Parts of the text come from the module: none of it may be Markdown.
  const plain = text.replace(/[\\`*_{}[\]<>()#+!|~-]/g, '\\$&');
  return {
    range: rangeOf(at.document, hover.range),
    contents: {
      kind: MarkupKind.Markdown,
      value: `\`\`\`wat\n${hover.code.replace(/`/g, "'")}\n\`\`\`\n${plain}`,
    },
  };
});

connection.onDefinition(({ textDocument, position }) => {
  const at = lookup(textDocument.uri);
  const reference = at && features.referenceAt(at.model, at.document.offsetAt(position));
  if (!reference) return null;
  return { uri: textDocument.uri, range: rangeOf(at.document, reference.definition.at) };
});

connection.onReferences(({ textDocument, position, context }) => {
  const at = lookup(textDocument.uri);
  const reference = at && features.referenceAt(at.model, at.document.offsetAt(position));
  if (!reference) return [];
  const { definition } = reference;
  return features
    .usesOf(at.model, definition)
    .filter(r => context.includeDeclaration || r.start !== definition.at.start)
    .map(r => ({ uri: textDocument.uri, range: rangeOf(at.document, r) }));
});

connection.onDocumentHighlight(({ textDocument, position }) => {
  const at = lookup(textDocument.uri);
  const reference = at && features.referenceAt(at.model, at.document.offsetAt(position));
  if (!reference) return [];
  return features.usesOf(at.model, reference.definition).map(r => ({ range: rangeOf(at.document, r) }));
});

const SYMBOL_KINDS: Readonly<Record<string, SymbolKind>> = {
  func: SymbolKind.Function,
  type: SymbolKind.Struct,
  table: SymbolKind.Array,
  memory: SymbolKind.Array,
  global: SymbolKind.Variable,
  tag: SymbolKind.Event,
  local: SymbolKind.Variable,
};

connection.onDocumentSymbol(({ textDocument }) => {
  const at = lookup(textDocument.uri);
  if (!at) return [];
  const { document, model } = at;
  return features.symbolsOf(model).map(s => ({
    name: s.name,
    detail: s.detail,
    kind: SYMBOL_KINDS[s.definition.space] ?? SymbolKind.Object,
    range: rangeOf(document, s.definition.extent),
    selectionRange: rangeOf(document, s.definition.at),
    children: s.children.map(c => ({
      name: c.name,
      detail: c.type,
      kind: SymbolKind.Variable,
      range: rangeOf(document, c.extent),
      selectionRange: rangeOf(document, c.at),
    })),
  }));
});

connection.onPrepareRename(({ textDocument, position }) => {
  const at = lookup(textDocument.uri);
  const reference = at && features.referenceAt(at.model, at.document.offsetAt(position));
  if (!reference || reference.definition.name === '') return null;
  return { range: rangeOf(at.document, reference), placeholder: reference.definition.name };
});

connection.onRenameRequest(({ textDocument, position, newName }) => {
  const at = lookup(textDocument.uri);
  const reference = at && features.referenceAt(at.model, at.document.offsetAt(position));
  if (!reference) return null;
  const name = newName.startsWith('$') ? newName : `$${newName}`;
  const problem = features.renameProblem(at.model, reference.definition, name);
  if (problem) return new ResponseError(INVALID_PARAMS, problem);
  const edits = features.renameEdits(at.model, reference.definition);
  return {
    changes: { [textDocument.uri]: edits.map(r => ({ range: rangeOf(at.document, r), newText: name })) },
  };
});

connection.onFoldingRanges(({ textDocument }) => {
  const at = lookup(textDocument.uri);
  if (!at) return [];
  return features.foldingRanges(at.model).map(r => ({
    startLine: at.document.positionAt(r.start).line,
    endLine: at.document.positionAt(r.end).line,
    ...(r.comment ? { kind: FoldingRangeKind.Comment } : {}),
  }));
});

const COMPLETION_KINDS: Readonly<Record<features.Completion['kind'], CompletionItemKind>> = {
  operator: CompletionItemKind.Operator,
  keyword: CompletionItemKind.Keyword,
  function: CompletionItemKind.Function,
  variable: CompletionItemKind.Variable,
  type: CompletionItemKind.Struct,
  label: CompletionItemKind.Reference,
};

connection.onCompletion(({ textDocument, position }) => {
  const at = lookup(textDocument.uri);
  if (!at) return [];
  const { replace, items } = features.completionsAt(at.model, at.document.offsetAt(position));
  const range = rangeOf(at.document, replace);
  return items.map(i => ({
    label: i.label,
    kind: COMPLETION_KINDS[i.kind],
    detail: i.detail,
    documentation: i.documentation,
    textEdit: { range, newText: i.label },
  }));
});

connection.onCodeLens(({ textDocument }) => {
  const at = lookup(textDocument.uri);
  if (!at || !textDocument.uri.startsWith('file:') || textDocument.uri.endsWith('.wast')) return [];
  return features.lensesOf(at.model).flatMap(lens => {
    const range = rangeOf(at.document, lens.range);
    const args = [textDocument.uri, { invoke: lens.exportName, params: lens.params }];
    return [
      { range, command: { title: 'Run', command: 'lucet.run', arguments: args } },
      { range, command: { title: 'Debug', command: 'lucet.debug', arguments: args } },
    ];
  });
});

connection.languages.semanticTokens.on(({ textDocument }) => {
  const at = lookup(textDocument.uri);
  const builder = new SemanticTokensBuilder();
  if (!at) return builder.build();
  for (const t of features.semanticTokens(at.model)) {
    const { line, character } = at.document.positionAt(t.start);
    builder.push(line, character, t.end - t.start, features.TOKEN_TYPES.indexOf(t.type), 0);
  }
  return builder.build();
});

documents.listen(connection);
connection.listen();
