/**
 * A terminal of the editor's for a program that is debugged ("console"). The editor runs commands in its terminals, and
 * the program is no command of its own: so a *holder* runs there, which tells where its terminal is and keeps it until
 * the program has ended. The program then has the terminal's device, which the terminal's shell leaves alone as long as
 * the holder is in front.
 */
import { closeSync, constants, mkdtempSync, openSync, readlinkSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LaunchError } from './launch.ts';

/** First argument of the adapter's script when it is a holder; the second is the path of a socket. */
export const HOLD_TERMINAL = '--hold-terminal';

/** Milliseconds that an editor has for opening a terminal. */
const PATIENCE = 20_000;

/** What the protocol's request runInTerminal takes. */
export interface TerminalRequest {
  readonly kind: 'integrated' | 'external';
  readonly title: string;
  readonly cwd: string;
  readonly args: string[];
  readonly env: Record<string, string>;
}

export interface TerminalOptions {
  readonly kind: TerminalRequest['kind'];
  readonly title: string;
  readonly cwd: string;
  /** Path of the adapter's script. */
  readonly script: string;
  /** Asks the editor. Rejected: it has none. */
  readonly ask: (request: TerminalRequest) => Promise<void>;
  readonly signal: AbortSignal;
}

export class Terminal {
  /** The terminal has been closed, or interrupted (Ctrl+C): called once. */
  onLost: () => void = () => {};
  private isClosed = false;

  private constructor(
    private readonly device: string,
    private readonly holder: Socket,
    private readonly release: () => void,
  ) {
    holder.on('error', () => {});
    holder.once('close', () => {
      if (!this.isClosed) this.onLost();
      this.close();
    });
  }

  /** @throws LaunchError */
  static async open(options: TerminalOptions): Promise<Terminal> {
    const folder = mkdtempSync(join(tmpdir(), 'lucet-terminal-'));
    const server = createServer();
    const release = (): void => {
      server.close();
      rmSync(folder, { recursive: true, force: true });
    };
    try {
      const socket = join(folder, 'socket');
      const told = holderOf(server, socket, options.signal);
      // Whichever is refused first is the answer.
      told.catch(() => {});
      const asked = options.ask({
        kind: options.kind,
        title: options.title,
        cwd: options.cwd,
        args: [process.execPath, options.script, HOLD_TERMINAL, socket],
        env: { ELECTRON_RUN_AS_NODE: '1' },
      });
      asked.catch(() => {});
      const { holder, device } = await Promise.race([told, asked.then(() => told)]);
      return new Terminal(device, holder, release);
    } catch (e) {
      release();
      throw e instanceof LaunchError ? e : new LaunchError(`"console": ${(e as Error).message}`);
    }
  }

  /** A descriptor for input and output. */
  descriptor(): number {
    return openSync(this.device, constants.O_RDWR | constants.O_NOCTTY);
  }

  /** The program has ended: the terminal is its shell's again. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.holder.destroy();
    this.release();
  }
}

/** Waits for the holder, and for what it says of its terminal. */
function holderOf(
  server: Server,
  path: string,
  signal: AbortSignal,
): Promise<{ holder: Socket; device: string }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new LaunchError('"console": the editor has opened no terminal in time: start again')),
      PATIENCE,
    );
    const give = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    signal.addEventListener('abort', () => give(() => reject(new LaunchError('cancelled'))));
    server.once('error', e => give(() => reject(e)));
    server.once('connection', holder => {
      server.close();
      holder.setEncoding('utf8').once('data', text => {
        const device = `${text}`.trim();
        give(() => {
          if (/^\/dev\/(?:pts\/|tty)\w+$/.test(device)) resolve({ holder, device });
          else reject(new LaunchError('"console": what the editor has opened is no terminal'));
        });
      });
    });
    server.listen(path);
  });
}

/** The holder: ends with the connection. */
export function holdTerminal(socket: string): void {
  const adapter = connect(socket, () => adapter.write(`${deviceOf(0)}\n`));
  // Ctrl+C, or the terminal is closed: the program ends, as it would if it were in its place.
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM', 'SIGQUIT'] as const)
    process.once(signal, () => process.exit(130));
  adapter.on('error', () => {});
  adapter.once('close', () => process.exit(0));
}

function deviceOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

export function closeDescriptors(descriptors: readonly (number | null)[]): void {
  for (const fd of descriptors) if (fd !== null) closeSync(fd);
}
