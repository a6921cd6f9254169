/**
 * A session's program, from the request for it to its end: it may be given up while it is compiled, while its terminal
 * is opened, and while it waits to be configured, by whoever asked for it; and all that belongs to it ends with the
 * session, whichever way that ends.
 */
import { InitializedEvent, TerminatedEvent } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { type CommonArguments, LaunchError } from './launch.ts';
import { ProtocolSession } from './protocol.ts';
import type { DebugTarget } from './target.ts';
import { Terminal, type TerminalOptions, type TerminalRequest } from './terminal.ts';

const ERROR_LAUNCH = 1001;
/** The protocol's own word. */
const CANCELLED = 'cancelled';
/** Milliseconds. */
const TERMINAL_TIMEOUT = 20_000;

export abstract class ProgramSession extends ProtocolSession {
  /** The program has ended, or whoever wanted it has gone. */
  protected isOver = false;
  private target: DebugTarget | null = null;
  private configured: () => void = () => {};
  private readonly configurationDone = new Promise<void>(resolve => {
    this.configured = resolve;
  });
  /** A launch or attach request that was not answered yet. */
  private opening: { readonly request: number; readonly abort: AbortController } | null = null;
  private hasTerminals = false;
  private terminal: Terminal | null = null;

  /** What is debugged from now on; the editor has not been told of it. */
  protected abstract use(target: DebugTarget, settings: CommonArguments): void;
  /** It has ended. */
  protected abstract over(): void;

  protected override initializeRequest(
    response: DebugProtocol.InitializeResponse,
    args: DebugProtocol.InitializeRequestArguments,
  ): void {
    this.hasTerminals = args.supportsRunInTerminalRequest === true;
    this.sendResponse(response);
  }

  /** Answers a request for a program: when it has begun, or can't. @param make the program, which has not begun */
  protected open(
    response: DebugProtocol.Response,
    make: (signal: AbortSignal) => Promise<{ target: DebugTarget; settings: CommonArguments }>,
  ): Promise<void> {
    return this.answering(response, async () => {
      if (this.opening !== null || this.target !== null || this.isOver) {
        const message = 'this session has had a program already: start another for this one';
        this.refuse(response, message, ERROR_LAUNCH);
        return;
      }
      const abort = new AbortController();
      this.opening = { request: response.request_seq, abort };
      const aborted = new Promise<void>(resolve => {
        abort.signal.addEventListener('abort', () => resolve());
      });
      let opened: DebugTarget | null = null;
      try {
        const { target, settings } = await make(abort.signal);
        opened = target;
        if (!abort.signal.aborted) {
          this.target = target;
          this.use(target, settings);
          this.sendEvent(new InitializedEvent());
          await Promise.race([this.configurationDone, aborted]);
        }
        if (abort.signal.aborted) throw new LaunchError(CANCELLED);
        this.opening = null;
        this.sendResponse(response);
        target.start();
      } catch (e) {
        const cancelled = abort.signal.aborted;
        this.opening = null;
        this.isOver ||= cancelled;
        opened?.dispose();
        this.terminal?.close();
        if (!cancelled && !(e instanceof LaunchError)) throw e;
        this.refuse(response, cancelled ? CANCELLED : (e as Error).message, ERROR_LAUNCH, cancelled);
        if (cancelled) this.finish();
      }
    });
  }

  /** The session's program is gone for good. */
  protected finish(): void {
    this.isOver = true;
    this.over();
    this.terminal?.close();
    this.sendEvent(new TerminatedEvent());
  }

  protected override configurationDoneRequest(response: DebugProtocol.ConfigurationDoneResponse): void {
    this.sendResponse(response);
    this.configured();
  }

  protected override terminateRequest(response: DebugProtocol.TerminateResponse): void {
    this.sendResponse(response);
    if (this.opening !== null) this.opening.abort.abort();
    else if (!this.isOver) this.target?.kill();
  }

  protected override end(): void {
    this.isOver = true;
    this.opening?.abort.abort();
    this.target?.dispose();
    this.terminal?.close();
  }

  /** What takes long is to open a program; all else has been answered before anybody could think better of it. */
  protected override cancelRequest(
    response: DebugProtocol.CancelResponse,
    args: DebugProtocol.CancelArguments,
  ): void {
    this.sendResponse(response);
    if (this.opening !== null && args.requestId === this.opening.request) this.opening.abort.abort();
  }

  // ------------------------------------------------------------------------------------------------------------ Terminal

  protected async openTerminal(options: Omit<TerminalOptions, 'ask'>): Promise<Terminal> {
    const terminal = await Terminal.open({ ...options, ask: request => this.runInTerminal(request) });
    if (this.isOver) terminal.close();
    this.terminal = terminal;
    terminal.onLost = () => {
      if (!this.isOver) this.target?.kill();
    };
    return terminal;
  }

  private runInTerminal(request: TerminalRequest): Promise<void> {
    if (!this.hasTerminals) {
      const advice = 'leave it out, and name a file as "stdin" for what the program reads';
      return Promise.reject(new LaunchError(`"console": this editor runs nothing in a terminal: ${advice}`));
    }
    return new Promise((resolve, reject) => {
      this.runInTerminalRequest(request, TERMINAL_TIMEOUT, response => {
        if (response.success) resolve();
        else reject(new LaunchError(`"console": the editor opens no terminal: ${response.message}`));
      });
    });
  }
}
