/**
 * The command line of lucet-wasi, as data: what there is, what is not there yet, and the texts that are made from it.
 * The build writes all of it into a header for the executable (scripts/gen-cli.ts), whose C parses the line by this
 * table.
 */

export interface OptionDoc {
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
  socket: {
    value: 'FD',
    multiple: true,
    doc: 'grant an open socket, listening or connected, by the number of its descriptor',
  },
  'inherit-env': { doc: 'pass on the whole environment' },
  'unknown-imports': {
    value: 'refuse|trap|zero',
    complete: ['refuse', 'trap', 'zero'],
    doc: 'functions that are not of WASI: refuse the module (default), trap when one is called, or return zeros',
  },
  'max-heap-size': { value: 'SIZE', doc: 'largest size of a memory (default: 4GiB)' },
  'heap-address-space': { value: 'SIZE', doc: 'address space for each memory (default: 8GiB)' },
  'stack-size': { value: 'SIZE', doc: 'size of the stack (default: 8MiB)' },
  timeout: { value: 'TIME', doc: 'end the run after so long: milliseconds, or with a unit (500ms, 2s, 1m)' },
  fuel: {
    value: 'N',
    doc: 'end the run after so many operators; a .so must be compiled with --count-instructions',
  },
  'opt-level': {
    value: 'LEVEL',
    complete: ['0', '1', '2'],
    doc: 'for a .wasm or .wat: as for lucetc (default: 2)',
  },
  'signature-verify': {
    doc: 'run only what is signed: a .so that lucetc signed, or a source with a .minisig beside it; needs Node.js',
  },
  'signature-pk': { value: 'FILE', complete: 'file', doc: 'with --signature-verify: public key of minisign' },
  'no-cache': { doc: 'for a .wasm or .wat: compile anew, and keep nothing' },
  'trap-json': { value: 'FILE', complete: 'file', doc: 'if the guest traps, write the report there' },
  coredump: { value: 'FILE', complete: 'file', doc: 'if the guest traps, write a core dump there' },
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
  'die-with-parent': { doc: 'end when the process that started it does: for tools that run programs' },
  completion: {
    value: 'SHELL',
    complete: ['bash', 'zsh', 'fish'],
    doc: 'print completions for bash, zsh or fish, and exit',
  },
  json: { doc: 'with --version: as JSON' },
  version: { short: 'V', doc: 'print the version and exit' },
  help: { short: 'h', doc: 'print this help and exit' },
} as const satisfies Record<string, OptionDoc>;

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
    "Exit status: the program's own; 134 if it trapped; 124 if its time or fuel was spent; 1 if it could not be run.",
    '',
  ].join('\n');
}

const COMPLETIONS = {
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
} satisfies Record<string, () => string>;

/** For one of the shells above. */
export function completionScript(shell: keyof typeof COMPLETIONS): string {
  return COMPLETIONS[shell]();
}
