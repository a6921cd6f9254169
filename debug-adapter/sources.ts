/** Paths: those that the compiler recorded, and those of the files on this machine. */
import { existsSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { Source } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';

/** launch.json's `sourceMap`: prefix that was recorded -> folder on this machine. */
export type SourceMapping = Readonly<Record<string, string>>;

const LIBRARY =
  /^(?:~lib\/|wasisdk:)|\/rustc(?:\/[0-9a-f]{40}|-[\d.]+)\/|\/library\/(?:core|std|alloc|panic_abort)\/|\/libc-(?:top|bottom)-half\/|\/include\/c\+\+\//;

export class Sources {
  private readonly found = new Map<string, string>();

  /** @param folders where relative paths may count from, and files that were moved are looked for */
  constructor(
    private readonly mapping: SourceMapping,
    private readonly folders: readonly string[],
  ) {}

  /** The path on this machine; as it was recorded if there is no such file. */
  local(recorded: string): string {
    let path = this.found.get(recorded);
    if (path === undefined) this.found.set(recorded, (path = this.look(recorded)));
    return path;
  }

  private look(recorded: string): string {
    for (const [from, to] of Object.entries(this.mapping)) {
      if (recorded.startsWith(from)) return join(to, recorded.slice(from.length));
    }
    if (isAbsolute(recorded) && existsSync(recorded)) return recorded;
    for (const folder of this.folders) {
      // Built elsewhere: the longest end of the path that is a file here.
      const parts = recorded.split(/[\\/]/).filter(p => p !== '' && p !== '.');
      for (let i = 0; i < parts.length; i++) {
        const path = resolve(folder, ...parts.slice(i));
        if (existsSync(path)) return path;
      }
    }
    return recorded;
  }

  /** Which of the recorded files a file on this machine is. */
  recorded(path: string, files: readonly string[]): string[] {
    const exact = files.filter(f => this.local(f) === path);
    if (exact.length > 0) return exact;
    const name = basename(path);
    return files.filter(f => basename(f.replaceAll('\\', '/')) === name && !existsSync(this.local(f)));
  }

  /** The language's own library: there to be stepped over. */
  isLibrary(recorded: string): boolean {
    return LIBRARY.test(recorded);
  }

  source(recorded: string): DebugProtocol.Source {
    const path = this.local(recorded);
    const name = basename(recorded.replaceAll('\\', '/'));
    // The language's own library is there to be stepped over.
    const isLibrary = /^(?:~lib\/|wasisdk:)|\/rustc\/[0-9a-f]{40}\/|\/library\/(?:core|std|alloc)\//.test(
      recorded,
    );
    const source: DebugProtocol.Source = new Source(name, path);
    if (isLibrary) source.presentationHint = 'deemphasize';
    return source;
  }
}
