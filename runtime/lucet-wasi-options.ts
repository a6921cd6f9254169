/** The command line of lucet-wasi, as data: what there is, what is not there yet, and all that is made from it. */

interface OptionDoc {
  /** What stands for its value; none: a switch. */
  readonly value?: string;
  readonly short?: string;
  readonly multiple?: boolean;
  readonly doc: string;
  /** For completion of the value. */
  readonly complete?: 'file' | 'directory' | readonly string[];
}

export const OPTIONS = {
  entrypoint: { value: 'NAME', doc: 'exported function to run (default: _start)' },
  invoke: { value: 'NAME', doc: 'call an exported function with ARGS as numbers, and print its results' },
  dir: {
    value: 'DIR',
    multiple: true,
    complete: 'directory',
    doc: 'grant a directory: HOST::GUEST, HOST:GUEST, or one path for both',
  },
  'readonly-dir': {
    value: 'DIR',
    multiple: true,
    complete: 'directory',
    doc: 'the same, and nothing in it can be changed',
  },
  env: {
    value: 'NAME[=VALUE]',
    multiple: true,
    doc: 'set an environment variable; without a value: pass on ours',
  },
  'inherit-env': { doc: 'pass on the whole environment' },
  'max-heap-size': { value: 'SIZE', doc: 'largest size of a memory (default: 4GiB)' },
  'heap-address-space': { value: 'SIZE', doc: 'address space for each memory (default: 8GiB)' },
  'stack-size': { value: 'SIZE', doc: 'size of the stack (default: 8MiB)' },
  'opt-level': {
    value: 'LEVEL',
    complete: ['0', '1', '2'],
    doc: 'for a .wasm or .wat: as for lucetc (default: 2)',
  },
  'no-cache': { doc: 'for a .wasm or .wat: compile anew, and keep nothing' },
  'trap-json': { value: 'FILE', complete: 'file', doc: 'if the guest traps, write the report there' },
  backtrace: {
    value: 'full|short',
    complete: ['full', 'short'],
    doc: 'how much of a backtrace to print (default: short)',
  },
  color: {
    value: 'auto|always|never',
    complete: ['auto', 'always', 'never'],
    doc: 'colours in messages (default: auto)',
  },
  completion: {
    value: 'SHELL',
    complete: ['bash', 'zsh', 'fish'],
    doc: 'print completions for bash, zsh or fish, and exit',
  },
  json: { doc: 'with --version: as JSON' },
  version: { short: 'V', doc: 'print the version and exit' },
  help: { short: 'h', doc: 'print this help and exit' },
} as const satisfies Record<string, OptionDoc>;

type Name = keyof typeof OPTIONS;

/** Options that are promised but not there: refused by name, never ignored. */
const NOT_YET: Readonly<Record<string, string>> = {
  timeout: 'a time limit',
  fuel: 'an instruction limit',
  coredump: 'core dumps',
  'signature-verify': 'signatures',
  'signature-pk': 'signatures',
};

/** The command line is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface CommandLine {
  /** Values by option name, in order; a switch has one empty value. */
  readonly options: ReadonlyMap<Name, readonly string[]>;
  readonly module: string | null;
  /** All that stands behind the module. */
  readonly args: readonly string[];
}

/**
 * Options stand before the module; everything behind it is the guest's, whatever it looks like. `--name value` and `--name=value` are
 * the same; `--` ends the options.
 * @throws UsageError
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const options = new Map<Name, string[]>();
  let i = 0;
  for (; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === '--') {
      i++;
      break;
    }
    if (!arg.startsWith('-') || arg === '-') break;
    const { name, attached } = splitOption(arg);
    const doc: OptionDoc = OPTIONS[name];
    let value = '';
    if (doc.value === undefined) {
      if (attached !== null) throw new UsageError(`--${name} takes no value`);
    } else if (attached !== null) {
      value = attached;
    } else {
      if (i + 1 >= argv.length) throw new UsageError(`--${name} needs a value: ${doc.value}`);
      value = argv[++i]!;
    }
    const values = options.get(name);
    if (values === undefined) options.set(name, [value]);
    else if (doc.multiple || doc.value === undefined) values.push(value);
    else throw new UsageError(`--${name} is given twice`);
  }
  return { options, module: argv[i] ?? null, args: argv.slice(i + 1) };
}

function splitOption(arg: string): { name: Name; attached: string | null } {
  if (!arg.startsWith('--')) {
    const found = Object.entries<OptionDoc>(OPTIONS).find(
      ([, o]) => o.short !== undefined && arg === `-${o.short}`,
    );
    if (found === undefined) throw new UsageError(`unknown option ${arg}`);
    return { name: found[0] as Name, attached: null };
  }
  const equals = arg.indexOf('=');
  const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
  const notYet = Object.hasOwn(NOT_YET, name) ? NOT_YET[name] : undefined;
  if (notYet !== undefined)
    throw new UsageError(`--${name}: ${notYet}: not supported yet by this version of lucet-wasi`);
  if (!Object.hasOwn(OPTIONS, name)) throw new UsageError(`unknown option --${name}${suggestion(name)}`);
  return { name: name as Name, attached: equals < 0 ? null : arg.slice(equals + 1) };
}

/** " (did you mean …?)" for a name that is nearly right. */
function suggestion(name: string): string {
  const near = Object.keys(OPTIONS).find(
    o => o.startsWith(name) || name.startsWith(o) || differsByOne(o, name),
  );
  return near === undefined || name === '' ? '' : ` (did you mean --${near}?)`;
}

function differsByOne(a: string, b: string): boolean {
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return Math.max(a.length, b.length) - start - end <= 1;
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** A size in bytes: a whole number, with K, M, G or T (KiB, MiB, … mean the same). @throws UsageError */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  const size = match === null ? Number.NaN : Number(match[1]) * UNITS[match[2]!.toLowerCase()]!;
  if (!Number.isSafeInteger(size))
    throw new UsageError(`--${option} ${text}: expected a size, such as 65536, 512K or 4GiB`);
  return size;
}

/** `HOST::GUEST`, `HOST:GUEST` or one path for both. @throws UsageError */
export function parseDirectory(option: string, text: string): { host: string; guest: string } {
  const double = text.indexOf('::');
  const single = text.indexOf(':');
  let host = text;
  let guest = text;
  if (double >= 0) {
    host = text.slice(0, double);
    guest = text.slice(double + 2);
  } else if (single >= 0) {
    host = text.slice(0, single);
    guest = text.slice(single + 1);
    if (guest.includes(':'))
      throw new UsageError(`--${option} ${text}: write HOST::GUEST when a path holds a colon`);
  }
  if (host === '' || guest === '')
    throw new UsageError(`--${option} ${text}: expected HOST::GUEST or one path`);
  return { host, guest };
}

export function helpText(): string {
  const rows = Object.entries<OptionDoc>(OPTIONS).map(([name, o]) => {
    const left = `${o.short ? `-${o.short}, ` : '    '}--${name}${o.value ? ` ${o.value}` : ''}`;
    return left.length < 32 ? `  ${left.padEnd(32)} ${o.doc}` : `  ${left}\n  ${' '.repeat(32)} ${o.doc}`;
  });
  return [
    'Usage: lucet-wasi [options] MODULE(.so|.wasm|.wat) [ARGS...]',
    '',
    'Runs a WebAssembly program. It gets the arguments, and of the environment and the file system only what is granted here.',
    'A .wasm or .wat is compiled first; the result is kept in $XDG_CACHE_HOME/lucet.',
    '',
    ...rows,
    '',
    "Exit status: the program's own; 134 if it trapped; 1 if it could not be run.",
    '',
  ].join('\n');
}

const COMPLETIONS: Readonly<Record<string, () => string>> = {
  bash: () => {
    const cases = Object.entries<OptionDoc>(OPTIONS)
      .filter(([, o]) => Array.isArray(o.complete))
      .map(
        ([name, o]) =>
          `    --${name}) COMPREPLY=($(compgen -W "${(o.complete as readonly string[]).join(' ')}" -- "$cur")); return;;`,
      );
    const plain = Object.entries<OptionDoc>(OPTIONS).filter(
      ([, o]) => o.value !== undefined && o.complete === undefined,
    );
    return [
      '_lucet_wasi() {',
      '  local cur=$' + '{COMP_WORDS[COMP_CWORD]} prev=$' + '{COMP_WORDS[COMP_CWORD-1]}',
      '  case "$prev" in',
      ...cases,
      '    --dir|--readonly-dir) COMPREPLY=($(compgen -d -- "$cur")); return;;',
      `    ${plain.map(([name]) => `--${name}`).join('|')}) return;;`,
      '  esac',
      '  case "$cur" in',
      `    -*) COMPREPLY=($(compgen -W "${Object.keys(OPTIONS)
        .map(n => `--${n}`)
        .join(' ')}" -- "$cur"));;`,
      '    *) COMPREPLY=($(compgen -f -- "$cur"));;',
      '  esac',
      '}',
      'complete -o filenames -F _lucet_wasi lucet-wasi',
      '',
    ].join('\n');
  },
  zsh: () => {
    const quote = (s: string): string => s.replace(/'/g, "'\\''").replace(/[[\]:]/g, '\\$&');
    const specs = Object.entries<OptionDoc>(OPTIONS).map(([name, o]) => {
      const many = o.multiple ? '*' : '';
      let action = '';
      if (o.value !== undefined) {
        const values = Array.isArray(o.complete) ? `(${(o.complete as readonly string[]).join(' ')})` : '';
        const files = o.complete === 'directory' ? '_files -/' : o.complete === 'file' ? '_files' : ' ';
        action = `:${quote(o.value)}:${values || files}`;
      }
      return `  '${many}--${name}[${quote(o.doc)}]${action}' \\`;
    });
    return [
      '#compdef lucet-wasi',
      '_arguments -S \\',
      ...specs,
      '  \'1:module:_files -g "*.(so|wasm|wat)"\' \\',
      "  '*::argument:_files'",
      '',
    ].join('\n');
  },
  fish: () =>
    Object.entries<OptionDoc>(OPTIONS)
      .map(([name, o]) => {
        const short = o.short === undefined ? '' : ` -s ${o.short}`;
        const values = Array.isArray(o.complete)
          ? ` -x -a '${(o.complete as readonly string[]).join(' ')}'`
          : '';
        const needs = values || (o.value === undefined ? '' : ' -r');
        return `complete -c lucet-wasi -l ${name}${short}${needs} -d '${o.doc.replace(/'/g, "\\'")}'\n`;
      })
      .join(''),
};

/** @throws UsageError */
export function completionScript(shell: string): string {
  const make = Object.hasOwn(COMPLETIONS, shell) ? COMPLETIONS[shell] : undefined;
  if (make === undefined) throw new UsageError(`--completion ${shell}: expected bash, zsh or fish`);
  return make();
}
