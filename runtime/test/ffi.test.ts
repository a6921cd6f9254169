import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  EventKind,
  FrameKind,
  ImportKind,
  KILL_RESULTS,
  NativeState,
  Reason,
  STRUCTS,
  Status,
} from '../ffi.ts';

const native = join(dirname(fileURLToPath(import.meta.url)), '..', 'native');

/** Compiles a C program against lucet.h and runs it. */
function runC(body: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'lucet-ffi-'));
  try {
    const source = join(dir, 'a.c');
    writeFileSync(
      source,
      `#include <stdio.h>\n#include <stddef.h>\n#include "lucet.h"\n#include "wasi.h"\nint main(void) {\n${body}\nreturn 0;\n}\n`,
    );
    execFileSync('cc', ['-std=gnu11', `-I${native}`, '-o', join(dir, 'a'), source]);
    return execFileSync(join(dir, 'a'), { encoding: 'utf8' });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describe('the border to C', () => {
  it('has the layout of structs and the numbers of enums that lucet.h has', () => {
    const lines: string[] = [];
    const expected: Record<string, number> = {};
    for (const [struct, fields] of Object.entries(STRUCTS)) {
      for (const [field, offset] of Object.entries(fields)) {
        const what = field === 'size' ? `sizeof(${struct})` : `offsetof(${struct}, ${field})`;
        lines.push(`printf("${struct}.${field} %zu\\n", ${what});`);
        expected[`${struct}.${field}`] = offset;
      }
    }
    const enums: Record<string, number> = {
      LUCET_OK: Status.Ok,
      LUCET_ERROR_IO: Status.Io,
      LUCET_ERROR_FORMAT: Status.Format,
      LUCET_ERROR_VERSION: Status.Version,
      LUCET_ERROR_CHECKSUM: Status.Checksum,
      LUCET_ERROR_CPU: Status.Cpu,
      LUCET_ERROR_LIMIT: Status.Limit,
      LUCET_ERROR_LINK: Status.Link,
      LUCET_ERROR_TRAP: Status.Trap,
      LUCET_ERROR_STATE: Status.State,
      LUCET_ERROR_RESOURCES: Status.Resources,
      LUCET_ERROR_ARGUMENT: Status.Argument,
      LUCET_ERROR_REGION_FULL: Status.RegionFull,
      LUCET_IMPORT_NATIVE: ImportKind.Native,
      LUCET_IMPORT_HOSTCALL: ImportKind.Hostcall,
      LUCET_IMPORT_EXPORT: ImportKind.Export,
      LUCET_IMPORT_VALUE: ImportKind.Value,
      LUCET_IMPORT_FUNCREF: ImportKind.Funcref,
      LUCET_EVENT_RETURNED: EventKind.Returned,
      LUCET_EVENT_TRAPPED: EventKind.Trapped,
      LUCET_EVENT_HOSTCALL: EventKind.Hostcall,
      LUCET_EVENT_TERMINATED: EventKind.Terminated,
      LUCET_EVENT_FAULTED: EventKind.Faulted,
      LUCET_EVENT_YIELDED: EventKind.Yielded,
      LUCET_EVENT_INTERRUPTED: EventKind.Interrupted,
      LUCET_EVENT_STOPPED: EventKind.Stopped,
      LUCET_EVENT_BOUND_EXPIRED: EventKind.BoundExpired,
      LUCET_STATE_TERMINATING: NativeState.Terminating,
      LUCET_STATE_BOUND_EXPIRED: NativeState.BoundExpired,
      LUCET_REASON_PROVIDED: Reason.Provided,
      LUCET_REASON_EXIT: Reason.Exit,
      LUCET_REASON_ABORTED: Reason.Aborted,
      LUCET_REASON_REMOTE: Reason.Remote,
      LUCET_REASON_TIMEOUT: Reason.Timeout,
      LUCET_REASON_SIGNAL: Reason.Signal,
      LUCET_REASON_RESOURCES: Reason.Resources,
      LUCET_KILL_SIGNALLED: KILL_RESULTS.indexOf('Signalled'),
      LUCET_KILL_PENDING: KILL_RESULTS.indexOf('Pending'),
      LUCET_KILL_CANCELLED: KILL_RESULTS.indexOf('Cancelled'),
      LUCET_KILL_NOT_TERMINABLE: KILL_RESULTS.indexOf('NotTerminable'),
      LUCET_KILL_INVALID: KILL_RESULTS.indexOf('Invalid'),
      LUCET_ERROR_YIELD_TYPE: Status.YieldType,
      LUCET_FRAME_WASM: FrameKind.Wasm,
      LUCET_FRAME_HOST: FrameKind.Host,
      LUCET_FRAME_ELIDED: FrameKind.Elided,
      LUCET_FRAME_WAITING: FrameKind.Waiting,
    };
    for (const [name, value] of Object.entries(enums)) {
      lines.push(`printf("${name} %d\\n", (int)${name});`);
      expected[name] = value;
    }
    const actual = Object.fromEntries(
      runC(lines.join('\n'))
        .trim()
        .split('\n')
        .map(line => {
          const [name, value] = line.split(' ');
          return [name, Number(value)];
        }),
    );
    expect(actual).toEqual(expected);
  });
});
