/** A list of any length that only has the rows in view in the document. All rows are of one height. */

const OVERSCAN = 12;
/** Browsers can't place what lies beyond some 16 million pixels. */
const MAX_HEIGHT = 15_000_000;

export class VirtualList<T> {
  private items: readonly T[] = [];
  private readonly spacer = document.createElement('div');
  private readonly window = document.createElement('div');
  private rowHeight = 20;
  private first = -1;
  private last = -1;
  private frame = 0;

  /** @param render makes a row; its contents must be set as text */
  constructor(
    readonly box: HTMLElement,
    private readonly render: (item: T, index: number) => HTMLElement,
  ) {
    this.spacer.className = 'spacer';
    this.window.className = 'window';
    this.spacer.append(this.window);
    box.replaceChildren(this.spacer);
    box.addEventListener('scroll', () => this.schedule(), { passive: true });
    new ResizeObserver(() => this.schedule()).observe(box);
  }

  set(items: readonly T[]): void {
    this.items = items;
    const sample = items.length > 0 ? this.render(items[0]!, 0) : null;
    if (sample) {
      this.window.replaceChildren(sample);
      this.rowHeight = sample.offsetHeight || this.rowHeight;
    }
    this.spacer.style.height = `${Math.min(items.length * this.rowHeight, MAX_HEIGHT)}px`;
    this.box.scrollTop = 0;
    this.refresh();
  }

  /** Draw the rows in view again: what they show has changed. */
  refresh(): void {
    this.first = -1;
    this.draw();
  }

  reveal(index: number): void {
    const top = index * this.rowHeight;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop || top + this.rowHeight > scrollTop + clientHeight)
      this.box.scrollTop = Math.max(0, top - clientHeight / 2);
    this.draw();
  }

  private schedule(): void {
    if (this.frame === 0)
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
  }

  private draw(): void {
    const { scrollTop, clientHeight } = this.box;
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - OVERSCAN);
    const last = Math.min(
      this.items.length,
      Math.ceil((scrollTop + clientHeight) / this.rowHeight) + OVERSCAN,
    );
    if (first === this.first && last === this.last) return;
    this.first = first;
    this.last = last;
    const rows: HTMLElement[] = [];
    for (let i = first; i < last; i++) rows.push(this.render(this.items[i]!, i));
    this.window.style.transform = `translateY(${first * this.rowHeight}px)`;
    this.window.replaceChildren(...rows);
  }
}
