/** Script of the trap inspector's page: links, tabs, and rows of the three columns that belong together. */
import { linkRows } from './rows.ts';

interface Host {
  postMessage(message: unknown): void;
  setState(state: unknown): void;
}
declare function acquireVsCodeApi(): Host;

const host = acquireVsCodeApi();
const state = document.getElementById('state');
if (state?.textContent) host.setState(JSON.parse(state.textContent));

document.addEventListener('click', e => {
  const target = e.target instanceof Element ? e.target : null;
  const link = target?.closest<HTMLElement>('a.source');
  if (link) {
    e.preventDefault();
    const { file, line, column } = link.dataset;
    host.postMessage({ command: 'source', file, line: Number(line), column: Number(column) });
    return;
  }
  const button = target?.closest<HTMLElement>('button[data-command]');
  if (button) host.postMessage({ command: button.dataset.command });
});

// Tabs, as the ARIA practices have them: arrow keys move, only the selected one can be tabbed to.
const tabs = [...document.querySelectorAll<HTMLElement>('[role="tab"]')];
function select(tab: HTMLElement, focus: boolean): void {
  for (const t of tabs) {
    const selected = t === tab;
    t.setAttribute('aria-selected', String(selected));
    t.tabIndex = selected ? 0 : -1;
    document.getElementById(t.getAttribute('aria-controls')!)!.hidden = !selected;
  }
  if (focus) tab.focus();
}
for (const [i, tab] of tabs.entries()) {
  tab.addEventListener('click', () => select(tab, false));
  tab.addEventListener('keydown', e => {
    const step = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0;
    const to = e.key === 'Home' ? 0 : e.key === 'End' ? tabs.length - 1 : i + step;
    if (to === i) return;
    e.preventDefault();
    select(tabs[(to + tabs.length) % tabs.length]!, true);
  });
}

for (const columns of document.querySelectorAll<HTMLElement>('.columns')) linkRows(columns);
