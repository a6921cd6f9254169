/**
 * What the protocol asks of any adapter, whatever it debugs: each request has exactly one response, also one that makes
 * no sense, comes at the wrong time, or runs into a defect of ours; output is told in pieces that an editor can keep up
 * with; and when the other side is gone, so is everything that the session has begun.
 */
import { DebugSession, type ErrorDestination, OutputEvent, Response } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { argumentProblem } from './requests.ts';

const ERROR_PROTOCOL = 1003;
const ERROR_INTERNAL = 1004;
/** DebugSession's own, for whatever a handler throws. */
const ERROR_THROWN = 1104;

/** What may come before `initialize`. */
const ALWAYS: readonly string[] = ['initialize', 'cancel', 'terminate', 'disconnect'];

/** What nobody here does. An answer that says otherwise would be a lie. */
const UNSUPPORTED: readonly string[] = [
  ...['restart', 'stepBack', 'reverseContinue', 'restartFrame', 'goto', 'gotoTargets'],
  ...['terminateThreads', 'completions', 'modules'],
];

/**
 * Milliseconds that output waits for more: a program may print a hundred thousand pieces in a second, each of which
 * would be an event.
 */
const OUTPUT_DELAY = 10;
/** Milliseconds that a disconnect waits for what is still to be answered. */
const LAST_ANSWERS = 2000;
/** Characters of output that are kept for the next event. */
const MOST_OUTPUT = 1 << 16;

type Category = 'stdout' | 'stderr' | 'console';

/** Output that was not told yet. */
interface Pending {
  readonly category: Category;
  text: string;
}

export class ProtocolSession extends DebugSession {
  private isInitialized = false;
  private hasEnded = false;
  /** Answers that take their time. */
  private readonly underWay = new Set<Promise<void>>();
  private output: (NodeJS.WritableStream & { readonly writableNeedDrain?: boolean }) | null = null;
  private pending: Pending | null = null;

  override start(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): void {
    this.output = output;
    super.start(input, output);
  }

  protected override dispatchRequest(request: DebugProtocol.Request): void {
    const problem = this.problemOf(request);
    if (problem !== null) {
      this.refuse(new Response(request), problem, ERROR_PROTOCOL);
      return;
    }
    request.arguments ??= {};
    if (request.command === 'initialize') {
      request.arguments.pathFormat ??= 'path';
      this.isInitialized = true;
    }
    super.dispatchRequest(request);
  }

  /** Why a request makes no sense; null: it does. */
  private problemOf(request: DebugProtocol.Request): string | null {
    const { command } = request;
    if (typeof command !== 'string') return 'a request needs a "command"';
    if (UNSUPPORTED.includes(command)) return `${command} is not supported`;
    if (command === 'initialize' && this.isInitialized) return 'initialize comes only once in a session';
    if (!this.isInitialized && !ALWAYS.includes(command)) return `initialize has to come before ${command}`;
    const problem = argumentProblem(command, request.arguments);
    return problem === null ? null : `${command}: ${problem}`;
  }

  /** @param quiet nothing that its user should be bothered with: a request that came too late, for example */
  protected refuse(response: DebugProtocol.Response, message: string, id: number, quiet = false): void {
    response.success = false;
    response.message = message;
    response.body = { error: { id, format: message, showUser: !quiet } };
    this.sendResponse(response);
  }

  /** Does what may take its time: what it throws is the answer, too. */
  protected answering(response: DebugProtocol.Response, act: () => Promise<void>): Promise<void> {
    const answered = act()
      .catch((e: unknown) => this.tellDefect(response, e instanceof Error ? e : String(e)))
      .finally(() => this.underWay.delete(answered));
    this.underWay.add(answered);
    return answered;
  }

  /**
   * Who leaves hangs up as soon as that is answered: everything else is answered before. What was begun is ended first,
   * so it doesn't take long.
   */
  protected override disconnectRequest(response: DebugProtocol.DisconnectResponse): void {
    this.endOnce();
    const leave = (): void => {
      this.sendResponse(response);
      this.shutdown();
    };
    if (this.underWay.size === 0) {
      leave();
      return;
    }
    const late = new Promise<void>(resolve => {
      setTimeout(resolve, LAST_ANSWERS).unref();
    });
    void Promise.race([Promise.all(this.underWay), late]).then(leave);
  }

  private tellDefect(response: DebugProtocol.Response, e: Error | string): void {
    const message = e instanceof Error ? e.message : e;
    console.error(`${response.command}: ${(e instanceof Error ? e.stack : null) ?? message}`);
    this.refuse(
      response,
      `internal error: ${message}: this is a defect of Lucet, please report it`,
      ERROR_INTERNAL,
    );
  }

  override sendErrorResponse(
    response: DebugProtocol.Response,
    codeOrMessage: number | DebugProtocol.Message,
    format?: string,
    variables?: Record<string, string>,
    destination?: ErrorDestination,
  ): void {
    if (codeOrMessage === ERROR_THROWN) {
      this.tellDefect(
        response,
        Object.assign(new Error(variables?._exception), { stack: variables?._stack }),
      );
    } else super.sendErrorResponse(response, codeOrMessage as number, format, variables, destination);
  }

  /** The first answer counts: a handler may fail behind it. */
  override sendResponse(response: DebugProtocol.Response): void {
    if (response.seq !== 0) return;
    this.flush();
    super.sendResponse(response);
  }

  override sendEvent(event: DebugProtocol.Event): void {
    this.flush();
    super.sendEvent(event);
  }

  /**
   * Tells of output. Pieces that come together go together, and before whatever else is told.
   * @param taken called when the editor has had time for it: who waits for that can't flood it
   */
  protected print(category: Category, text: string, taken?: () => void): void {
    if (this.pending !== null && this.pending.category !== category) this.flush();
    if (this.pending === null) {
      this.pending = { category, text: '' };
      setTimeout(() => this.flush(), OUTPUT_DELAY);
    }
    this.pending.text += text;
    if (this.pending.text.length >= MOST_OUTPUT) this.flush();
    if (taken === undefined) return;
    if (this.output?.writableNeedDrain === true) this.output.once('drain', taken);
    else taken();
  }

  private flush(): void {
    const { pending } = this;
    if (pending === null) return;
    this.pending = null;
    if (pending.text !== '') super.sendEvent(new OutputEvent(pending.text, pending.category));
  }

  /** Ends what was begun: nothing of it may outlive the session. Called once. */
  protected end(): void {}

  private endOnce(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.end();
  }

  /** The other side is gone, or has said so. */
  override shutdown(): void {
    this.endOnce();
    super.shutdown();
  }
}
