/** Rows of several columns that show the same code: pointing at one lights those that share a wasm offset with it. */

const OFFSETS = 'data-offsets';

function offsetsOf(row: Element): string[] {
  return row.getAttribute(OFFSETS)?.split(' ') ?? [];
}

/** Bring a row into view inside of its own column, without moving the page. */
function reveal(row: HTMLElement): void {
  const box = row.parentElement!;
  const top = row.offsetTop - box.offsetTop;
  if (top < box.scrollTop || top + row.offsetHeight > box.scrollTop + box.clientHeight)
    box.scrollTop = top - box.clientHeight / 2;
}

/** Link the rows of all columns inside of an element, and show what trapped. */
export function linkRows(columns: HTMLElement): void {
  const byOffset = new Map<string, HTMLElement[]>();
  for (const row of columns.querySelectorAll<HTMLElement>(`.row[${OFFSETS}]`)) {
    for (const offset of offsetsOf(row)) {
      const known = byOffset.get(offset);
      if (known) known.push(row);
      else byOffset.set(offset, [row]);
    }
  }
  let lit: HTMLElement[] = [];
  const light = (row: HTMLElement, scroll: boolean): void => {
    for (const r of lit) r.classList.remove('linked');
    lit = [...new Set(offsetsOf(row).flatMap(o => byOffset.get(o) ?? []))];
    if (!lit.includes(row)) lit.push(row);
    for (const r of lit) r.classList.add('linked');
    if (!scroll) return;
    const seen = new Set([row.parentElement]);
    for (const r of lit) {
      if (seen.has(r.parentElement)) continue;
      seen.add(r.parentElement);
      reveal(r);
    }
  };
  const rowOf = (e: Event) => (e.target instanceof Element ? e.target.closest<HTMLElement>('.row') : null);
  columns.addEventListener('mouseover', e => {
    const row = rowOf(e);
    if (row) light(row, false);
  });
  columns.addEventListener('click', e => {
    const row = rowOf(e);
    if (row) light(row, true);
  });
  // With the keyboard: arrows move through a column, the others follow.
  for (const box of columns.querySelectorAll<HTMLElement>('.rows')) {
    let at = Math.max(
      0,
      [...box.children].findIndex(r => r.classList.contains('fault')),
    );
    box.addEventListener('keydown', e => {
      const step = e.key === 'ArrowDown' ? 1 : e.key === 'ArrowUp' ? -1 : 0;
      if (step === 0) return;
      e.preventDefault();
      at = Math.min(box.children.length - 1, Math.max(0, at + step));
      const row = box.children[at] as HTMLElement;
      light(row, true);
      reveal(row);
    });
  }
  for (const row of columns.querySelectorAll<HTMLElement>('.row.fault')) reveal(row);
}
