/** Names that configurations may hold; package.json explains them to the editor. */

/** What launch and attach have in common. */
const COMMON = ['program', 'cwd', 'sourceMap', 'skipFiles', 'symbolFile', 'disassemblySyntax'] as const;

const OWN = {
  launch: [
    ...['args', 'env', 'inheritEnv', 'dirs', 'entrypoint', 'invoke', 'maxHeapSize', 'stackSize'],
    ...['stdin', 'stdout', 'stderr', 'console'],
    ...['timeout', 'stopOnEntry', 'stopOnTrap', 'optLevel'],
  ],
  attach: ['coredump'],
} as const;

/** What the extension makes something else of, and passes on. */
const EXTENSION = ['envFile', 'trace', 'env', 'dirs'];

/** The editor's own: https://code.visualstudio.com/docs/debugtest/debugging-configuration */
const EDITOR = [
  ...['type', 'request', 'name', 'noDebug', 'preLaunchTask', 'postDebugTask', 'internalConsoleOptions'],
  ...['debugServer', 'serverReadyAction', 'presentation', 'suppressMultipleSessionWarning'],
  ...['windows', 'linux', 'osx'],
];

export type RequestKind = keyof typeof OWN;

/** What somebody may write into a configuration of this kind, beside what is the editor's. */
export function attributesOf(kind: RequestKind): readonly string[] {
  return [...COMMON, ...OWN[kind]];
}

/** A warning for each attribute that nobody knows: a mistyped one is ignored otherwise, and nobody sees why. */
export function unknownAttributes(kind: RequestKind, request: object): string[] {
  const mine = attributesOf(kind);
  const known = new Set([...mine, ...EXTENSION, ...EDITOR]);
  return Object.keys(request)
    .filter(name => !known.has(name) && !name.startsWith('__'))
    .map(name => {
      const near = nearest(name, mine);
      return `${kind} configuration: nothing is known of "${name}"${near === null ? '' : `; is "${near}" meant?`}`;
    });
}

/** The name that differs least, if that is little. */
function nearest(name: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of names) {
    const d = distance(name.toLowerCase(), candidate.toLowerCase());
    if (d < least) [best, least] = [candidate, d];
  }
  return best;
}

/** Longer names are mistyped ones of nothing. */
const MAX_NAME = 64;

/** Levenshtein's. */
function distance(a: string, b: string): number {
  if (a.length > MAX_NAME) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
