/** lucet-objdump: what is in a compiled module. */
import { parseArgs } from 'node:util';
import { disassembleFunction } from '../objdump/disassemble.ts';
import { formatReport, report } from '../objdump/report.ts';
import { type Artifact, ArtifactError, readArtifact } from '../object/artifact-reader.ts';
import { signerOf, splitSignature } from '../object/signature.ts';
import { printableLines } from '../printable.ts';
import { parseMessage } from './command-line.ts';
import { readInput, systemWords } from './files.ts';
import { readPublicKey, verifyInput } from './signing.ts';

declare const LUCET_VERSION: string;

export const OPTIONS = {
  json: { type: 'boolean', doc: 'print the report as JSON' },
  disassemble: {
    type: 'boolean',
    short: 'd',
    doc: 'print machine code, with the wasm offsets it comes from',
  },
  function: {
    type: 'string',
    multiple: true,
    value: 'FUNCTION',
    doc: 'with -d: only this function, by name or index (may be repeated)',
  },
  'signature-verify': {
    type: 'boolean',
    doc: 'show it only if it is signed by the key that --signature-pk names',
  },
  'signature-pk': { type: 'string', value: 'FILE', doc: 'public key' },
  version: { type: 'boolean', short: 'V', doc: 'print the version and exit' },
  help: { type: 'boolean', short: 'h', doc: 'print this help and exit' },
} as const;

/** Options that are planned but not there: refused by name, never ignored. */
const NOT_YET: Readonly<Record<string, string>> = {
  source: 'interleaved source lines',
};

const HELP = `Usage: lucet-objdump [options] MODULE.so

Shows what is in a compiled module.

${Object.entries(OPTIONS)
  .map(([name, o]) => {
    const short = 'short' in o ? `-${o.short}, ` : '    ';
    const value = 'value' in o ? `=${o.value}` : '';
    return `  ${short}--${`${name}${value}`.padEnd(20)}${o.doc}`;
  })
  .join('\n')}
`;

class UsageError extends Error {}

/** The reader of a pipe may leave at any time: that ends the output, and is no error. */
class Output {
  private closed = false;
  private failure: Error | null = null;
  private wake: (() => void) | null = null;

  constructor(private readonly stream: NodeJS.WritableStream) {
    stream.on('error', (e: NodeJS.ErrnoException) => {
      this.closed = true;
      if (e.code !== 'EPIPE') this.failure = e;
      this.wake?.();
    });
    stream.on('drain', () => this.wake?.());
  }

  /** False: nobody reads any more. */
  async write(text: string): Promise<boolean> {
    if (!this.closed && !this.stream.write(text)) {
      await new Promise<void>(resolve => {
        this.wake = resolve;
        if (this.closed) resolve();
      });
    }
    if (this.failure) throw new Error(`can't write standard output: ${systemWords(this.failure)}`);
    return !this.closed;
  }
}

function parse(argv: string[]) {
  for (const arg of argv) {
    if (arg === '--') break;
    const name = /^--([^=]+)/.exec(arg)?.[1];
    if (name !== undefined && NOT_YET[name] !== undefined)
      throw new UsageError(
        `--${name}: ${NOT_YET[name]} are not supported yet by this version of lucet-objdump`,
      );
  }
  try {
    return parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  } catch (e) {
    throw new UsageError(`${parseMessage(e as Error)} (see lucet-objdump --help)`);
  }
}

/** Records with code: those that `--function` names, or all. */
function selected(a: Artifact, wanted: readonly string[]): number[] {
  const all = Array.from({ length: a.recordCount }, (_, i) => i).filter(i => a.func(i).length > 0);
  if (wanted.length === 0) return all;
  return wanted.flatMap(w => {
    const found = /^\d+$/.test(w) ? all.filter(i => i === Number(w)) : all.filter(i => a.describe(i) === w);
    if (found.length === 0) throw new UsageError(`there is no code of a function "${w}"`);
    return found;
  });
}

async function dump(argv: string[], out: Output): Promise<void> {
  const { values, positionals } = parse(argv);
  if (values.help) {
    await out.write(HELP);
    return;
  }
  if (values.version) {
    await out.write(`lucet-objdump ${LUCET_VERSION}\n`);
    return;
  }
  if (positionals.length !== 1)
    throw new UsageError('exactly one module is expected (see lucet-objdump --help)');
  if (values.json && values.disassemble) throw new UsageError('--json and --disassemble exclude each other');
  if (values.function && !values.disassemble) throw new UsageError('--function needs --disassemble');
  const file = positionals[0]!;
  const bytes = readInput(file);
  const pk = values['signature-pk'];
  if ((values['signature-verify'] ?? false) !== (pk !== undefined))
    throw new UsageError('--signature-verify and --signature-pk FILE need each other');
  if (pk !== undefined) verifyInput(file, bytes, readPublicKey(pk));
  const artifact = readArtifact(bytes);
  const { signature } = splitSignature(bytes);
  const signer = signature === null ? null : { key: signerOf(signature), verified: pk !== undefined };
  if (values.json) {
    await out.write(`${JSON.stringify(report(artifact, file, signer), null, 2)}\n`);
  } else if (values.disassemble) {
    const indices = selected(artifact, values.function ?? []);
    const { default: iced, ...named } = await import('iced-x86');
    for (const index of indices) {
      const text = disassembleFunction(artifact, iced ?? named, index);
      if (!(await out.write(index === indices[0] ? text : `\n${text}`))) return;
    }
  } else {
    await out.write(formatReport(report(artifact, file, signer)));
  }
}

/**
 * @param argv without the program's own name
 * @returns the exit code: 0, or 1 after an error, which has been printed on stderr
 */
export async function main(
  argv: string[],
  stdout: NodeJS.WritableStream = process.stdout,
  stderr: NodeJS.WritableStream = process.stderr,
): Promise<number> {
  try {
    await dump(argv, new Output(stdout));
    return 0;
  } catch (e) {
    const file = e instanceof ArtifactError ? `${argv.findLast(a => !a.startsWith('-')) ?? ''}: ` : '';
    // Names of the command line's and the module's are in it.
    stderr.write(`Error: ${printableLines(`${file}${(e as Error).message}`)}\n`);
    return 1;
  }
}
