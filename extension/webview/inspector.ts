/** Script of the module inspector's page. Everything of the module's is set as text. */
import type { FunctionCode, FunctionInfo, ModuleSummary, NativeRow, WatRow } from '../tool/protocol.ts';
import { VirtualList } from './virtual-list.ts';

interface Host {
  postMessage(message: unknown): void;
}
declare function acquireVsCodeApi(): Host;
const host = acquireVsCodeApi();
const { trusted } = JSON.parse(document.getElementById('state')!.textContent!) as { trusted: boolean };

const byId = (id: string): HTMLElement => document.getElementById(id)!;
function element(className: string, text = ''): HTMLElement {
  const e = document.createElement('span');
  e.className = className;
  e.textContent = text;
  return e;
}

// ---- Questions

let nextId = 1;
const pending = new Map<number, { resolve: (v: unknown) => void; reject: (e: Error) => void }>();
function ask<T>(method: string, params: object = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const id = nextId++;
    pending.set(id, { resolve: resolve as (v: unknown) => void, reject });
    host.postMessage({ id, method, ...params });
  });
}
window.addEventListener(
  'message',
  (e: MessageEvent<{ id?: number; result?: unknown; error?: string; changed?: boolean }>) => {
    if (e.data.changed) void load();
    const waiting = pending.get(e.data.id ?? -1);
    if (!waiting) return;
    pending.delete(e.data.id!);
    if (e.data.error !== undefined) waiting.reject(new Error(e.data.error));
    else waiting.resolve(e.data.result);
  },
);

function showError(e: unknown): void {
  const box = byId('error');
  box.hidden = false;
  box.textContent = e instanceof Error ? e.message : String(e);
}

// ---- Code

let linked = -1;
const rowOf = (offset: number, gutter: string, text: string, note: string): HTMLElement => {
  const row = document.createElement('div');
  row.className = offset === linked && offset >= 0 ? 'row linked' : 'row';
  row.setAttribute('role', 'listitem');
  row.dataset.offset = String(offset);
  row.append(element('gutter', gutter), element('text', text));
  if (note) row.lastElementChild!.append(element('comment', `  ; ${note}`));
  return row;
};
const hex = (n: number): string => `0x${n.toString(16)}`;
let watItems: readonly WatRow[] = [];
let nativeItems: readonly NativeRow[] = [];
const wat = new VirtualList<WatRow>(byId('wat'), r =>
  rowOf(r.offset, hex(r.offset), `${'  '.repeat(Math.min(r.depth, 40))}${r.text}`, ''),
);
const native = new VirtualList<NativeRow>(byId('native'), r =>
  rowOf(r.wasmOffset, hex(r.address), r.text, r.note),
);

function link(offset: number): void {
  if (offset === linked) return;
  linked = offset;
  for (const box of [wat.box, native.box])
    for (const row of box.querySelectorAll<HTMLElement>('.row'))
      row.classList.toggle('linked', offset >= 0 && row.dataset.offset === String(offset));
}
for (const box of [wat.box, native.box]) {
  const offsetAt = (e: Event): number =>
    Number(
      (e.target instanceof Element ? e.target.closest<HTMLElement>('.row') : null)?.dataset.offset ?? -1,
    );
  box.addEventListener('mouseover', e => link(offsetAt(e)));
  box.addEventListener('click', e => {
    const offset = offsetAt(e);
    link(offset);
    const other =
      box === wat.box
        ? nativeItems.findIndex(r => r.wasmOffset === offset)
        : watItems.findIndex(r => r.offset === offset);
    if (other >= 0) (box === wat.box ? native : wat).reveal(other);
  });
}

let shownFunction = -1;
async function showFunction(f: FunctionInfo): Promise<void> {
  shownFunction = f.index;
  byId('selected').textContent = `${f.name || `function ${f.index}`}  ${f.type}`;
  byId('note').textContent = trusted ? 'Compiling…' : 'Machine code is shown when the workspace is trusted.';
  link(-1);
  list.refresh();
  try {
    const code = await ask<FunctionCode>('code', { index: f.index });
    if (shownFunction !== f.index) return;
    watItems = code.wat ?? [];
    nativeItems = code.native ?? [];
    wat.set(watItems);
    native.set(nativeItems);
    byId('note').textContent = trusted ? code.note : byId('note').textContent;
  } catch (e) {
    byId('note').textContent = '';
    showError(e);
  }
}

// ---- Contents

interface Entry {
  readonly key: string;
  readonly text: string;
  readonly detail: string;
  readonly func: FunctionInfo | null;
}
let summary: ModuleSummary | null = null;
let sizes: readonly number[] = [];
let part = 'Functions';
let shown: readonly Entry[] = [];
let cursor = 0;

const list = new VirtualList<Entry>(byId('list'), (entry, i) => {
  const row = document.createElement('div');
  const selected = entry.func ? entry.func.index === shownFunction : i === cursor;
  row.className = selected ? 'entry selected' : 'entry';
  row.setAttribute('role', 'option');
  row.setAttribute('aria-selected', String(selected));
  row.dataset.at = String(i);
  row.title = `${entry.text} ${entry.detail}`;
  row.append(element('key', entry.key), element('text', entry.text), element('detail', entry.detail));
  return row;
});

const plain = (entries: readonly string[]): Entry[] =>
  entries.map((text, i) => ({ key: String(i), text, detail: '', func: null }));

function entriesOf(s: ModuleSummary, name: string): Entry[] {
  switch (name) {
    case 'Functions':
      return s.functions.map((func, i) => ({
        key: String(func.index),
        text: func.name || `function ${func.index}`,
        detail: `${func.size.toLocaleString('en')} B${sizes[i] === undefined ? '' : ` → ${sizes[i].toLocaleString('en')} B`}`,
        func,
      }));
    case 'Imports':
      return s.imports.map(i => ({
        key: i.kind,
        text: `${i.module}.${i.name}`,
        detail: i.type.trim(),
        func: null,
      }));
    case 'Exports':
      return s.exports.map(e => ({
        key: e.kind,
        text: e.name,
        detail: e.type.trim(),
        func: e.kind === 'func' ? (s.functions.find(f => f.index === e.index) ?? null) : null,
      }));
    case 'Sections':
      return s.sections.map(x => ({
        key: hex(x.start),
        text: x.name,
        detail: `${x.size.toLocaleString('en')} B`,
        func: null,
      }));
    case 'Memory':
      return [
        ...s.memories.map((m, i) => ({ key: 'memory', text: `${i}: ${m}`, detail: 'pages', func: null })),
        ...s.tables.map((t, i) => ({ key: 'table', text: `${i}: ${t}`, detail: '', func: null })),
        ...s.globals.map((g, i) => ({ key: 'global', text: `${i}: ${g}`, detail: '', func: null })),
        ...s.data.map(d => ({ key: 'data', text: d, detail: '', func: null })),
        ...s.elements.map(e => ({ key: 'elem', text: e, detail: '', func: null })),
      ];
    default:
      return plain(s.producers);
  }
}

const PARTS = ['Functions', 'Imports', 'Exports', 'Sections', 'Memory', 'Producers'];
const filter = byId('filter') as HTMLInputElement;

function showPart(name: string): void {
  part = name;
  cursor = 0;
  for (const tab of byId('parts').children) {
    const selected = tab.textContent === name;
    tab.setAttribute('aria-selected', String(selected));
    (tab as HTMLElement).tabIndex = selected ? 0 : -1;
  }
  if (!summary) return;
  const wanted = filter.value.toLowerCase();
  shown = entriesOf(summary, name).filter(
    e => wanted === '' || `${e.text} ${e.key}`.toLowerCase().includes(wanted),
  );
  list.set(shown);
}

byId('parts').append(
  ...PARTS.map(name => {
    const tab = document.createElement('button');
    tab.type = 'button';
    tab.setAttribute('role', 'tab');
    tab.textContent = name;
    tab.addEventListener('click', () => showPart(name));
    return tab;
  }),
);
byId('parts').addEventListener('keydown', e => {
  const step = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0;
  if (step === 0) return;
  const to = (PARTS.indexOf(part) + step + PARTS.length) % PARTS.length;
  showPart(PARTS[to]!);
  (byId('parts').children[to] as HTMLElement).focus();
});
filter.addEventListener('input', () => showPart(part));

function choose(i: number): void {
  const entry = shown[i];
  if (!entry) return;
  cursor = i;
  if (entry.func) void showFunction(entry.func);
  else list.refresh();
}
list.box.addEventListener('click', e => {
  const row = e.target instanceof Element ? e.target.closest<HTMLElement>('.entry') : null;
  if (row) choose(Number(row.dataset.at));
});
list.box.addEventListener('keydown', e => {
  const step = e.key === 'ArrowDown' ? 1 : e.key === 'ArrowUp' ? -1 : 0;
  if (step === 0) return;
  e.preventDefault();
  choose(Math.min(shown.length - 1, Math.max(0, cursor + step)));
  list.reveal(cursor);
});

async function load(): Promise<void> {
  byId('error').hidden = true;
  try {
    summary = await ask<ModuleSummary>('summary');
  } catch (e) {
    showError(e);
    return;
  }
  const s = summary;
  byId('title').textContent = s.path.replace(/^.*\//, '');
  byId('facts').textContent = [
    `${s.bytes.toLocaleString('en')} bytes`,
    `${s.functions.length.toLocaleString('en')} functions`,
    `${s.imports.length} imports`,
    `${s.exports.length} exports`,
    s.hasDebugInfo ? 'debug information' : 'no debug information',
  ].join(' · ');
  sizes = [];
  showPart(part);
  const first =
    s.functions.find(f => s.exports.some(e => e.kind === 'func' && e.index === f.index)) ?? s.functions[0];
  if (first) {
    await showFunction(first);
    // The module has been compiled by now.
    if (trusted) {
      sizes = await ask<number[]>('nativeSizes').catch(() => []);
      const { scrollTop } = list.box;
      showPart(part);
      list.box.scrollTop = scrollTop;
    }
  }
}
void load();
