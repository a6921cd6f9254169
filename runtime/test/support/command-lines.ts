/**
 * Command lines that nobody should write: options of the tools in any combination, with values that fit them, and with
 * others.
 */
import type { Random } from '../../../scripts/fuzz/random.ts';

/** What options of a tool say of themselves (compiler/cli/command-line.ts, lucet-wasi-options.ts). */
interface OptionDoc {
  readonly doc: string;
  readonly value?: string;
  readonly short?: string;
}
export type OptionTable = Readonly<Record<string, OptionDoc>>;

const HOSTILE: readonly string[] = [
  '',
  ' ',
  '-',
  '--',
  '---',
  '=',
  'a=b',
  '-1',
  '0',
  '1',
  '2147483648',
  '18446744073709551616',
  '99999999999999999999999',
  '1e309',
  'NaN',
  'Infinity',
  '0x10',
  '1.5',
  '1 s',
  '5KiB',
  '٣',
  'null',
  'constructor',
  '__proto__',
  'toString',
  'naïve \u{1f600}',
  '\u001b[31mred',
  '\u202egnp.exe',
  'two\nlines',
  '%s%n%d',
  '$HOME',
  '*',
  '~',
  '../..',
  '/',
  'x'.repeat(300),
  'x'.repeat(20_000),
  'd/'.repeat(3000),
];

/** Values that an option takes, by what stands for its value in the help. */
export type Values = Readonly<Record<string, readonly string[]>>;

export class CommandLines {
  constructor(
    private readonly options: OptionTable,
    private readonly values: Values,
    /** Names of files, of all kinds. */
    private readonly files: readonly string[],
    /** The last words of a line. */
    private readonly ends: readonly (readonly string[])[],
  ) {}

  private value(next: Random, doc: OptionDoc): string {
    const fitting = this.values[doc.value!] ?? [];
    const kind = next.below(8);
    if (kind === 0) return next.pick(HOSTILE);
    if (kind === 1) return next.pick(this.files);
    if (fitting.length > 0) return next.pick(fitting);
    // `so|exe|ir` are such themselves.
    return doc.value!.includes('|') ? next.pick(doc.value!.split('|')) : next.pick(this.files);
  }

  private option(next: Random): string[] {
    const [name, doc] = next.pick(Object.entries(this.options));
    const short = doc.short !== undefined && next.below(2) === 0;
    const flag = short ? `-${doc.short}` : `--${name}`;
    if (doc.value === undefined) return next.below(20) === 0 ? [`${flag}=${next.pick(HOSTILE)}`] : [flag];
    const value = this.value(next, doc);
    // What begins with a dash would be taken for an option where it stands alone.
    if (!short && (next.below(2) === 0 || value.startsWith('-'))) return [`${flag}=${value}`];
    return next.below(20) === 0 ? [flag] : [flag, value];
  }

  /** @returns the words behind the tool's name */
  line(next: Random): string[] {
    const words: string[] = [];
    for (let n = next.below(5); n > 0; n--) words.push(...this.option(next));
    switch (next.below(12)) {
      case 0:
        words.push(next.pick(HOSTILE));
        break;
      case 1:
        words.push('--', next.pick(this.files));
        break;
      case 2:
        words.push(next.pick(this.files), ...this.option(next));
        break;
      case 3:
        break;
      default:
        words.push(...next.pick(this.ends));
    }
    // No argument of a process can hold it.
    return words.map(w => w.replaceAll('\0', ''));
  }
}
