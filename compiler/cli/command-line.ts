/** The command line of lucetc, as data: what there is, what is not there yet, and the help text made from both. */
import type { ParseArgsConfig } from 'node:util';

interface OptionDoc {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: boolean;
  readonly value?: string;
  readonly doc: string;
}

export const OPTIONS = {
  output: { type: 'string', short: 'o', value: 'FILE', doc: 'where to write the result (default: a.out)' },
  emit: {
    type: 'string',
    value: 'so|exe|ir',
    doc: 'native shared object, a program of its own (WASI), or the intermediate code as text (default: so)',
  },
  grant: {
    type: 'string',
    multiple: true,
    value: 'OPTION',
    doc: "with --emit exe: an option of lucet-wasi's that the program runs with, such as --grant=--dir=data::/",
  },
  target: { type: 'string', value: 'TRIPLE', doc: 'machine to compile for (default: x86_64-linux)' },
  'target-cpu': {
    type: 'string',
    value: 'CPU',
    doc: 'native, baseline, x86-64-v2, x86-64-v3, x86-64-v4 (default: native)',
  },
  'target-feature': { type: 'string', multiple: true, value: '±F,…', doc: 'switch CPU features on or off' },
  'opt-level': {
    type: 'string',
    short: 'O',
    value: 'LEVEL',
    doc: '0|1|2|none|speed|speed_and_size (default: 2)',
  },
  memory: {
    type: 'string',
    value: 'guarded|dense',
    doc: 'rely on reserved address space, or check every access: for regions of many instances (default: guarded)',
  },
  'canonicalize-nans': { type: 'boolean', doc: 'make every NaN whose bits are left open the same one' },
  'count-instructions': { type: 'boolean', doc: 'count the operators that run, for bounds on instructions' },
  debug: {
    type: 'boolean',
    short: 'g',
    doc: 'code for debuggers, at --opt-level 0: stops at each line, and every value can be read and changed there',
  },
  'enable-feature': {
    type: 'string',
    multiple: true,
    value: 'NAME,…',
    doc: 'let modules use these extensions of WebAssembly',
  },
  'disable-feature': {
    type: 'string',
    multiple: true,
    value: 'NAME,…',
    doc: 'refuse modules that use these extensions',
  },
  features: { type: 'boolean', doc: 'list the extensions and whether they are on, and exit' },
  bindings: {
    type: 'string',
    multiple: true,
    value: 'FILE',
    doc: 'JSON: module -> name -> symbol of a native hostcall',
  },
  wasi_exe: { type: 'boolean', doc: 'the module must be a WASI command: it must export _start' },
  'strip-debug': { type: 'boolean', doc: "leave the module's debug information out of the result" },
  'signature-keygen': {
    type: 'boolean',
    doc: 'make a pair of keys, --signature-pk and --signature-sk (in the formats of minisign), and exit',
  },
  'signature-create': {
    type: 'boolean',
    doc: 'sign the result with --signature-sk; an INPUT that is a .so already is only signed',
  },
  'signature-verify': {
    type: 'boolean',
    doc: 'compile only if INPUT.minisig beside the input fits it and --signature-pk; of a .so: verify it, and exit',
  },
  'signature-pk': { type: 'string', value: 'FILE', doc: 'public key' },
  'signature-sk': {
    type: 'string',
    value: '[raw:]FILE',
    doc: 'secret key; its password is asked for, unless raw: says that it has none',
  },
  'error-style': {
    type: 'string',
    value: 'human|json',
    doc: 'how errors are printed on stderr (default: human)',
  },
  'no-translate-wat': { type: 'boolean', doc: 'refuse text input instead of translating it' },
  workers: {
    type: 'string',
    value: 'N',
    doc: 'most threads to compile with (default: one for each processor, at most 8); small modules take fewer',
  },
  verify: { type: 'boolean', doc: 'check the intermediate code and the register allocation while compiling' },
  stats: { type: 'boolean', doc: 'print times, sizes and what each optimisation did, on stderr' },
  'version-info': { type: 'boolean', doc: 'print versions and the artifact format, and exit' },
  version: { type: 'boolean', short: 'V', doc: 'print the version and exit' },
  help: { type: 'boolean', short: 'h', doc: 'print this help and exit' },
} as const satisfies Record<string, OptionDoc>;

/** Options of the original that this version does not have: refused by name, never ignored. */
export const NOT_YET: Readonly<Record<string, string>> = {
  witx: 'interface checks',
  'min-reserved-size': 'heap reservations other than 8 GiB',
  'max-reserved-size': 'heap reservations other than 8 GiB',
  'reserved-size': 'heap reservations other than 8 GiB',
  'guard-size': 'guards of another size',
  veriwasm: 'verification of the machine code',
};

export function parseConfig(): NonNullable<ParseArgsConfig['options']> {
  return Object.fromEntries(
    Object.entries<OptionDoc>(OPTIONS).map(([name, o]) => [
      name,
      { type: o.type, ...(o.short ? { short: o.short } : {}), ...(o.multiple ? { multiple: true } : {}) },
    ]),
  );
}

/** What parseArgs found wrong, in our own words where its message only helps a programmer. */
export function parseMessage(error: Error): string {
  const unknown = /^Unknown option '(--?[^']*)'/.exec(error.message)?.[1];
  return unknown === undefined ? error.message : `unknown option ${unknown}`;
}

export function helpText(tool: string): string {
  const rows = Object.entries<OptionDoc>(OPTIONS).map(([name, o]) => {
    const left = `${o.short ? `-${o.short}, ` : '    '}--${name}${o.value ? ` ${o.value}` : ''}`;
    return `  ${left.padEnd(32)} ${o.doc}`;
  });
  const wasi = tool === 'lucetc-wasi' ? ' (WASI imports are checked against preview1)' : '';
  return [
    `Usage: ${tool} [options] INPUT(.wasm|.wat) [-o OUT]`,
    '',
    `Compiles a WebAssembly module to a native shared object${wasi}. - is standard input, and behind -o standard output.`,
    '',
    ...rows,
    '',
  ].join('\n');
}
