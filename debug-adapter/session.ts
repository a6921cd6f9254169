/**
 * One debug session. The guest runs in a child process (`lucet-wasi`), so that nothing it does can take the adapter down; what it prints
 * arrives as output events, its end as exited and terminated events.
 *
 * Stopping at breakpoints is not offered yet: the capabilities say so, and breakpoints are answered as unverified with the reason.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  DebugSession,
  ExitedEvent,
  InitializedEvent,
  OutputEvent,
  TerminatedEvent,
} from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { checkLaunch, LaunchError, lucetWasiArguments } from './launch.ts';

/** The bundle lies in dist/, the tools in bin/ beside it. */
const LUCET_WASI = join(
  dirname(import.meta.url.startsWith('file:') ? fileURLToPath(import.meta.url) : import.meta.url),
  '..',
  'bin',
  'lucet-wasi.js',
);

const ERROR_LAUNCH = 1001;

export class LucetSession extends DebugSession {
  private guest: ChildProcess | null = null;
  private configured: () => void = () => {};
  private readonly configurationDone = new Promise<void>(resolve => {
    this.configured = resolve;
  });

  protected override initializeRequest(response: DebugProtocol.InitializeResponse): void {
    response.body = { supportsConfigurationDoneRequest: true, supportsTerminateRequest: true };
    this.sendResponse(response);
    this.sendEvent(new InitializedEvent());
  }

  protected override configurationDoneRequest(response: DebugProtocol.ConfigurationDoneResponse): void {
    this.sendResponse(response);
    this.configured();
  }

  protected override setBreakPointsRequest(
    response: DebugProtocol.SetBreakpointsResponse,
    args: DebugProtocol.SetBreakpointsArguments,
  ): void {
    response.body = {
      breakpoints: (args.breakpoints ?? []).map(b => ({
        verified: false,
        line: b.line,
        message: 'This version of Lucet runs programs but does not stop at breakpoints yet.',
      })),
    };
    this.sendResponse(response);
  }

  protected override threadsRequest(response: DebugProtocol.ThreadsResponse): void {
    response.body = { threads: [] };
    this.sendResponse(response);
  }

  protected override async launchRequest(
    response: DebugProtocol.LaunchResponse,
    args: DebugProtocol.LaunchRequestArguments,
  ): Promise<void> {
    try {
      const launch = checkLaunch(args);
      await this.configurationDone;
      const guest = spawn(process.execPath, [LUCET_WASI, ...lucetWasiArguments(launch)], {
        ...(launch.cwd === undefined ? {} : { cwd: launch.cwd }),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      this.guest = guest;
      const forward = (category: 'stdout' | 'stderr') => (text: string) =>
        this.sendEvent(new OutputEvent(text, category));
      guest.stdout.setEncoding('utf8').on('data', forward('stdout'));
      guest.stderr.setEncoding('utf8').on('data', forward('stderr'));
      guest.once('error', e =>
        this.sendEvent(new OutputEvent(`lucet-wasi could not be started: ${e.message}\n`, 'stderr')),
      );
      // 'close' comes after both streams have ended: no output is lost behind the exit.
      guest.once('close', (code, signal) => {
        this.guest = null;
        if (signal && signal !== 'SIGTERM' && signal !== 'SIGKILL') {
          this.sendEvent(new OutputEvent(`lucet-wasi died of ${signal}\n`, 'stderr'));
        }
        this.sendEvent(new ExitedEvent(code ?? 128));
        this.sendEvent(new TerminatedEvent());
      });
      this.sendResponse(response);
    } catch (e) {
      if (!(e instanceof LaunchError)) throw e;
      this.sendErrorResponse(response, ERROR_LAUNCH, e.message);
    }
  }

  private kill(): void {
    // SIGKILL: a guest in an endless loop keeps its process from handling anything milder.
    this.guest?.kill('SIGKILL');
  }

  protected override terminateRequest(response: DebugProtocol.TerminateResponse): void {
    this.kill();
    this.sendResponse(response);
  }

  protected override disconnectRequest(response: DebugProtocol.DisconnectResponse): void {
    this.kill();
    this.sendResponse(response);
  }
}
