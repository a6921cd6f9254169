/** Processes that run a program of a test's workspace, as the system sees them. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Guest {
  readonly pid: number;
  /** Of /proc/PID/status: R runs, S waits, T is stopped. */
  readonly state: string;
}

/** @param path of the program, or how its path begins */
export function guests(path: string): Guest[] {
  return readdirSync('/proc')
    .filter(p => /^\d+$/.test(p))
    .flatMap(p => {
      try {
        const line = readFileSync(`/proc/${p}/cmdline`, 'utf8');
        if (!line.includes('lucet-wasi') || !line.includes(path)) return [];
        const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${p}/status`, 'utf8'))![1]!;
        return [{ pid: Number(p), state }];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}
