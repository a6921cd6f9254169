/** Names of types for people: without what every use of a library type has, inline namespaces and arguments by default. Lookups take the full ones. */

/** Longer ones are shown as they are. */
const MAX_LENGTH = 4_000;

/** Arguments of the C++ standard library's templates that are there by default: the last ones, each of a type named before it. */
const DEFAULTS = /, std::(?:allocator|char_traits|less|hash|equal_to|default_delete)</g;

/** The end of a list of template arguments that begins at `at`, behind its `>`; -1: it has none. */
function endOfArguments(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === '<') depth++;
    // Not the arrow of a function type.
    else if (text[i] === '>' && text[i - 1] !== '-' && --depth === 0) return i + 1;
  }
  return -1;
}

/** @param name as Type.name has it */
export function shortTypeName(name: string): string {
  if (name.length > MAX_LENGTH) return name;
  const text = name.replace(/\bstd::__\w+::/g, 'std::').replaceAll(', alloc::alloc::Global', '');
  let short = '';
  let from = 0;
  for (const match of text.matchAll(DEFAULTS)) {
    if (match.index < from) continue;
    const end = endOfArguments(text, match.index + match[0].length - 1);
    if (end < 0) break;
    short += text.slice(from, match.index);
    from = end;
    while (text[from] === ' ') from++;
  }
  short += text.slice(from);
  return short.replaceAll('std::basic_string<char>', 'std::string').replace(/ +>/g, '>');
}
