/**
 * Writes runtime/native/cli/options_text.h: the options of lucet-wasi, its help and completions, for the executable.
 */
import { ARTIFACT_VERSION } from '../compiler/abi/artifact.ts';
import { completionScript, helpText, OPTIONS, type OptionDoc } from '../runtime/lucet-wasi-options.ts';

/** A C string literal, a line of it for each line of the text. */
function literal(text: string): string {
  const lines = text.split(/(?<=\n)/);
  return lines
    .map(line => `"${line.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n').replace(/\?/g, '\\?')}"`)
    .join(' \\\n  ');
}

export function optionsHeader(version: string): string {
  const options = Object.entries<OptionDoc>(OPTIONS).map(([name, o]) => {
    const id = name.replace(/-/g, '_').toUpperCase();
    const short = o.short === undefined ? '0' : `'${o.short}'`;
    return `  X(${id}, "${name}", ${short}, ${o.value === undefined ? 'NULL' : literal(o.value)}, ${o.multiple ?? false})`;
  });
  return [
    '/* Written by scripts/gen-cli.ts from runtime/lucet-wasi-options.ts: do not edit. */',
    '#ifndef LUCET_OPTIONS_TEXT_H',
    '#define LUCET_OPTIONS_TEXT_H',
    '',
    '/* id, name, short name, what stands for the value, may be repeated */',
    `#define LUCET_WASI_OPTIONS(X) \\\n${options.join(' \\\n')}`,
    '',
    `#define LUCET_WASI_VERSION ${literal(version)}`,
    `#define LUCET_WASI_ARTIFACT_VERSION ${ARTIFACT_VERSION}`,
    `#define LUCET_WASI_HELP \\\n  ${literal(helpText())}`,
    ...(['bash', 'zsh', 'fish'] as const).map(
      shell => `#define LUCET_WASI_${shell.toUpperCase()} \\\n  ${literal(completionScript(shell))}`,
    ),
    '',
    '#endif',
    '',
  ].join('\n');
}
