/**
 * Text that came out of a module, for a terminal: controls, and characters that turn or hide text, are shown by their
 * numbers.
 */

const shown = (c: string): string => `\\x${c.codePointAt(0)!.toString(16).padStart(2, '0')}`;

export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, shown);
}

/** The same for text of several lines: line ends and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, c => (c === '\n' || c === '\t' ? c : shown(c)));
}
