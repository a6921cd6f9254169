/** Source files that debug information names: where they are on this machine. No editor API here. */
import { statSync } from 'node:fs';
import { dirname, isAbsolute, join, normalize } from 'node:path';

export interface SourceContext {
  /** From the settings: prefix in the debug information -> folder here. The longest that fits wins. */
  readonly sourceMap: Readonly<Record<string, string>>;
  /** Folders that relative paths may start from, best first. */
  readonly folders: readonly string[];
}

const isFile = (path: string): boolean => {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

/** The file, or null: it is not here. */
export function findSource(file: string, { sourceMap, folders }: SourceContext): string | null {
  if (file === '' || file.includes('\0')) return null;
  const candidates: string[] = [];
  const prefixes = Object.keys(sourceMap).sort((a, b) => b.length - a.length);
  for (const prefix of prefixes) {
    if (file.startsWith(prefix)) candidates.push(join(sourceMap[prefix]!, file.slice(prefix.length)));
  }
  if (isAbsolute(file)) candidates.push(file);
  else {
    for (const folder of folders) {
      // A module may lie some folders below the one that it was compiled in.
      for (let at = folder, up = 0; up < 4; up++, at = dirname(at)) candidates.push(join(at, file));
    }
  }
  return candidates.map(normalize).find(isFile) ?? null;
}
