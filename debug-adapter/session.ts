/**
 * One debug session: the requests of the Debug Adapter Protocol, each handed to the file that knows the matter. It
 * knows nothing of how a guest is run: a DebugTarget (target.ts) does. The editor is told of being initialised when the
 * module has been read, so that its breakpoints can be bound at once, before the guest's first instruction.
 */
import {
  BreakpointEvent,
  Event,
  ExitedEvent,
  InvalidatedEvent,
  MemoryEvent,
  Source,
  StackFrame,
  StoppedEvent,
  Thread,
} from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { type RequestKind, unknownAttributes } from './attributes.ts';
import { Breakpoints } from './breakpoints.ts';
import { DataBreakpoints } from './data-breakpoints.ts';
import { Disassembly } from './disassembly.ts';
import { Evaluator, ExpressionError } from './evaluate.ts';
import { EXCEPTION_FILTERS, exceptionInfo, exitInfo } from './exceptions.ts';
import { Frames, type ShownFrame } from './frames.ts';
import { type CommonArguments, checkAttach, checkLaunch, type LaunchArguments } from './launch.ts';
import { type OpenTerminal, openCore, openLaunch, type StopRules } from './prepare.ts';
import { ProgramSession } from './program-session.ts';
import { Sources } from './sources.ts';
import { type Granularity, type StepKind, Stepping } from './stepping.ts';
import type { DebugTarget, TargetEvent } from './target.ts';
import { Variables } from './variables.ts';
import { WatViews } from './wat-views.ts';

const ERROR_REQUEST = 1002;
const NOT_STOPPED = 'notStopped';
const MAX_MEMORY_READ = 1 << 24;

/** A breakpoint that came too early. */
const TOO_EARLY: DebugProtocol.Breakpoint = {
  verified: false,
  message: 'The program has not been read yet: set breakpoints after the event "initialized".',
};

/** All that hangs on one target. */
interface Parts {
  readonly target: DebugTarget;
  readonly sources: Sources;
  readonly frames: Frames;
  readonly variables: Variables;
  readonly breakpoints: Breakpoints;
  readonly dataBreakpoints: DataBreakpoints;
  readonly stepping: Stepping;
  readonly disassembly: Disassembly;
  readonly views: WatViews;
}

export class LucetSession extends ProgramSession {
  private parts: Parts | null = null;
  private exceptionFilters: ReadonlySet<string> = new Set(
    EXCEPTION_FILTERS.filter(f => f.default).map(f => f.filter),
  );
  /** Of a program that is stopped where it exits. */
  private exiting: number | null = null;
  /** The thread that is stopped, as the editor knows; null: none. */
  private stopped: number | null = null;
  /** Warnings that were printed; debug information bounds their number. */
  private readonly told = new Set<string>();

  /** For tests: sessions over a target of their own. */
  protected openTarget(launch: LaunchArguments, signal: AbortSignal): Promise<DebugTarget> {
    const open: OpenTerminal = (kind, title, cwd, script) =>
      this.openTerminal({ kind, title, cwd, script, signal });
    const stops: StopRules = {
      atTrap: report => this.exceptionFilters.has(report.code),
      atExit: status => status !== 0 && this.exceptionFilters.has('exit'),
    };
    return openLaunch(launch, stops, signal, open);
  }

  protected override initializeRequest(
    response: DebugProtocol.InitializeResponse,
    args: DebugProtocol.InitializeRequestArguments,
  ): void {
    response.body = {
      supportsConfigurationDoneRequest: true,
      supportsTerminateRequest: true,
      supportsFunctionBreakpoints: true,
      supportsConditionalBreakpoints: true,
      supportsHitConditionalBreakpoints: true,
      supportsLogPoints: true,
      supportsInstructionBreakpoints: true,
      supportsDataBreakpoints: true,
      supportsDataBreakpointBytes: true,
      supportsBreakpointLocationsRequest: true,
      supportsEvaluateForHovers: true,
      supportsSetVariable: true,
      supportsSetExpression: true,
      supportsExceptionInfoRequest: true,
      exceptionBreakpointFilters: EXCEPTION_FILTERS,
      supportsReadMemoryRequest: true,
      supportsWriteMemoryRequest: true,
      supportsDisassembleRequest: true,
      supportsSteppingGranularity: true,
      supportsCancelRequest: true,
      supportsStepInTargetsRequest: true,
      supportsLoadedSourcesRequest: true,
      supportsClipboardContext: true,
      supportsValueFormattingOptions: false,
    };
    super.initializeRequest(response, args);
  }

  // ------------------------------------------------------------------------------------------------------ Begin and end

  protected override async launchRequest(
    response: DebugProtocol.LaunchResponse,
    args: DebugProtocol.LaunchRequestArguments,
  ): Promise<void> {
    await this.open(response, async signal => {
      this.warnOf('launch', args);
      const launch = checkLaunch(args);
      return { target: await this.openTarget(launch, signal), settings: launch };
    });
  }

  protected override async attachRequest(
    response: DebugProtocol.AttachResponse,
    args: DebugProtocol.AttachRequestArguments,
  ): Promise<void> {
    await this.open(response, async signal => {
      this.warnOf('attach', args);
      const attach = checkAttach(args);
      return { target: await openCore(attach, signal), settings: attach };
    });
  }

  private warnOf(kind: RequestKind, request: object): void {
    for (const warning of unknownAttributes(kind, request)) this.print('console', `${warning}\n`);
  }

  protected override over(): void {
    this.stopped = null;
    this.forget();
  }

  protected override use(target: DebugTarget, settings: CommonArguments): void {
    const sources = new Sources(settings.sourceMap ?? {}, settings.folders);
    const frames = new Frames(target);
    const breakpoints: Breakpoints = new Breakpoints(target, sources, frames, at => stepping.endsAt(at));
    const skipped = (settings.skipFiles ?? []).map(globPattern);
    const stepping = new Stepping(
      target,
      frames,
      file => sources.isLibrary(file) || skipped.some(p => p.test(sources.local(file))),
      at => breakpoints.has(at),
    );
    this.parts = {
      target,
      sources,
      frames,
      variables: new Variables(target, frames),
      breakpoints,
      dataBreakpoints: new DataBreakpoints(target, frames),
      stepping,
      disassembly: new Disassembly(target.symbols, sources, settings.disassemblySyntax),
      views: new WatViews(target.symbols),
    };
    this.tellWarnings();
    target.onEvent(event => this.onTarget(event));
  }

  /** Debug information is read when it is asked for, so what is wrong with it turns up while requests are answered. */
  protected override dispatchRequest(request: DebugProtocol.Request): void {
    super.dispatchRequest(request);
    this.tellWarnings();
  }

  private tellWarnings(): void {
    if (this.parts === null) return;
    const { symbols } = this.parts.target;
    for (const warning of [...symbols.warnings, ...(symbols.debug?.warnings ?? [])]) {
      if (this.told.has(warning)) continue;
      this.told.add(warning);
      this.print('console', `debug information: ${warning}\n`);
    }
  }

  // -------------------------------------------------------------------------------------------------------------- Events

  private onTarget(event: TargetEvent): void {
    const parts = this.parts;
    if (parts === null || this.isOver) return;
    switch (event.kind) {
      case 'output':
        this.print(event.stream, event.text, event.taken);
        return;
      case 'told':
        this.print('console', `${event.message}\n`);
        return;
      case 'failed':
        this.print('stderr', `${event.message}\n`);
        return;
      case 'exited':
        this.tellLost(parts.dataBreakpoints.problems());
        this.sendEvent(new ExitedEvent(event.code));
        this.finish();
        parts.target.dispose();
        return;
      case 'left':
        this.tellLost(parts.dataBreakpoints.left(event.watchpoints));
        return;
      case 'exiting':
        this.forget();
        this.exiting = event.status;
        parts.stepping.end();
        this.tellStop('exception', event.thread, [], `Exit status ${event.status}`);
        return;
      case 'stopped':
        this.forget();
        this.tellLost(parts.dataBreakpoints.problems());
        this.onStop(parts, event);
    }
  }

  /** What was handed out belongs to a stop that is over. */
  private forget(): void {
    this.parts?.frames.clear();
    this.parts?.variables.clear();
  }

  /** Data breakpoints that do nothing any more. */
  private tellLost(lost: readonly DebugProtocol.Breakpoint[]): void {
    for (const breakpoint of lost) {
      this.sendEvent(new BreakpointEvent('changed', breakpoint));
      this.print('console', `data breakpoint: ${breakpoint.message}\n`);
    }
  }

  private onDataBreakpoint(parts: Parts, thread: number): void {
    const hit = parts.dataBreakpoints.hit(thread);
    for (const message of hit.messages) this.print('console', message);
    if (hit.ids.length === 0) {
      this.go(parts, thread);
      return;
    }
    parts.stepping.end();
    this.tellStop('data breakpoint', thread, hit.ids, hit.description);
  }

  private onStop(parts: Parts, { thread, reason }: Extract<TargetEvent, { kind: 'stopped' }>): void {
    if (reason === 'watchpoint') {
      this.onDataBreakpoint(parts, thread);
      return;
    }
    if (reason !== 'breakpoint') {
      parts.stepping.end();
      const [top] = parts.target.frames(thread);
      if (reason === 'trap') this.stopAtTrap(parts, thread);
      else if (top?.kind === 'host')
        this.tellStop(reason, thread, [], `Paused within ${top.functionName}, which waits`);
      else this.tellStop(reason, thread);
      return;
    }
    const at = parts.target.frames(thread)[0]?.wasmOffset ?? -1;
    const hit = parts.breakpoints.hit(thread, at);
    for (const message of hit.messages) this.print('console', message);
    const stepped = parts.stepping.isDone(thread);
    if (hit.ids.length === 0 && !stepped) {
      this.forget();
      parts.target.resume(thread);
      return;
    }
    parts.stepping.end();
    this.tellStop(hit.ids.length > 0 ? 'breakpoint' : 'step', thread, hit.ids);
  }

  private tellStop(reason: string, thread: number, ids: readonly number[] = [], description = ''): void {
    this.stopped = thread;
    const event: DebugProtocol.StoppedEvent = new StoppedEvent(reason, thread);
    if (description !== '') Object.assign(event.body, { description, text: description });
    event.body.allThreadsStopped = false;
    if (ids.length > 0) event.body.hitBreakpointIds = [...ids];
    this.sendEvent(event);
  }

  private stopAtTrap(parts: Parts, thread: number): void {
    this.stopped = thread;
    const report = parts.target.trapReport();
    const event: DebugProtocol.StoppedEvent = new StoppedEvent(
      'exception',
      thread,
      report?.message ?? 'trap',
    );
    if (report !== null) {
      event.body.description = `Trap: ${report.message}`;
      event.body.text = report.explanation;
      // For an editor that shows more than the protocol has words for.
      this.sendEvent(new Event('lucet.trap', report));
    }
    this.sendEvent(event);
  }

  protected override threadsRequest(response: DebugProtocol.ThreadsResponse): void {
    response.body = { threads: (this.parts?.target.threads ?? []).map(t => new Thread(t.id, t.name)) };
    this.sendResponse(response);
  }

  // --------------------------------------------------------------------------------------------------------- Breakpoints

  protected override setBreakPointsRequest(
    response: DebugProtocol.SetBreakpointsResponse,
    args: DebugProtocol.SetBreakpointsArguments,
  ): void {
    const wanted = args.breakpoints ?? [];
    const view = this.parts?.views.functionOf(args.source) ?? null;
    response.body = {
      breakpoints:
        this.parts === null
          ? wanted.map(b => ({ ...TOO_EARLY, line: b.line }))
          : view === null
            ? this.parts.breakpoints.setForSource(args.source, wanted)
            : this.parts.breakpoints.setForView(args.source, wanted, line =>
                this.parts!.views.offsetAt(view, line),
              ),
    };
    this.sendResponse(response);
  }

  protected override setFunctionBreakPointsRequest(
    response: DebugProtocol.SetFunctionBreakpointsResponse,
    args: DebugProtocol.SetFunctionBreakpointsArguments,
  ): void {
    response.body = {
      breakpoints:
        this.parts?.breakpoints.setForFunctions(args.breakpoints) ?? args.breakpoints.map(() => TOO_EARLY),
    };
    this.sendResponse(response);
  }

  protected override setInstructionBreakpointsRequest(
    response: DebugProtocol.SetInstructionBreakpointsResponse,
    args: DebugProtocol.SetInstructionBreakpointsArguments,
  ): void {
    const { parts } = this;
    const offsetOf = (reference: string, offset: number): number | null => {
      const wasm = /^wasm:(\d+)$/.exec(reference);
      if (wasm !== null) return Number(wasm[1]);
      const text = Disassembly.textOffset(reference);
      const where = text === null ? null : (parts?.target.symbols.artifact.locate(text + offset) ?? null);
      return where === null || where.wasmOffset < 0 ? null : where.wasmOffset;
    };
    response.body = {
      breakpoints:
        parts?.breakpoints.setForInstructions(args.breakpoints, offsetOf) ??
        args.breakpoints.map(() => TOO_EARLY),
    };
    this.sendResponse(response);
  }

  protected override dataBreakpointInfoRequest(
    response: DebugProtocol.DataBreakpointInfoResponse,
    args: DebugProtocol.DataBreakpointInfoArguments,
  ): void {
    response.body = this.dataBreakpointInfo(args);
    this.sendResponse(response);
  }

  private dataBreakpointInfo(
    args: DebugProtocol.DataBreakpointInfoArguments,
  ): DebugProtocol.DataBreakpointInfoResponse['body'] {
    const { parts } = this;
    if (parts === null) return { dataId: null, description: 'nothing is debugged' };
    const { dataBreakpoints, variables } = parts;
    if (args.asAddress === true) return dataBreakpoints.atAddress(args.name, args.bytes ?? 1);
    try {
      if (args.variablesReference !== undefined && args.variablesReference > 0) {
        const { label, what, frame } = variables.watchable(args.variablesReference, args.name);
        return dataBreakpoints.info(label, what, frame);
      }
      const { evaluator, frame } = this.evaluator(parts, args.frameId);
      return dataBreakpoints.info(args.name, evaluator.watchable(args.name), frame);
    } catch (e) {
      if (!(e instanceof ExpressionError)) throw e;
      return { dataId: null, description: e.message };
    }
  }

  protected override setDataBreakpointsRequest(
    response: DebugProtocol.SetDataBreakpointsResponse,
    args: DebugProtocol.SetDataBreakpointsArguments,
  ): void {
    response.body = {
      breakpoints:
        this.parts?.dataBreakpoints.replace(args.breakpoints) ?? args.breakpoints.map(() => TOO_EARLY),
    };
    this.sendResponse(response);
  }

  protected override breakpointLocationsRequest(
    response: DebugProtocol.BreakpointLocationsResponse,
    args: DebugProtocol.BreakpointLocationsArguments,
  ): void {
    const path = args.source.path ?? '';
    response.body = {
      breakpoints: this.parts?.breakpoints.locations(path, args.line, args.endLine ?? args.line) ?? [],
    };
    this.sendResponse(response);
  }

  protected override setExceptionBreakPointsRequest(
    response: DebugProtocol.SetExceptionBreakpointsResponse,
    args: DebugProtocol.SetExceptionBreakpointsArguments,
  ): void {
    this.exceptionFilters = new Set(args.filters);
    response.body = {
      breakpoints: args.filters.map(f =>
        EXCEPTION_FILTERS.some(e => e.filter === f)
          ? { verified: true }
          : { verified: false, message: `There is no kind of trap ${f}.` },
      ),
    };
    this.sendResponse(response);
  }

  protected override exceptionInfoRequest(response: DebugProtocol.ExceptionInfoResponse): void {
    const report = this.parts?.target.trapReport() ?? null;
    if (report === null && this.exiting === null) {
      this.refuse(response, 'nothing has trapped', ERROR_REQUEST);
      return;
    }
    response.body = report === null ? exitInfo(this.exiting!) : exceptionInfo(report);
    this.sendResponse(response);
  }

  // ------------------------------------------------------------------------------------------------------------- Running

  /** Requests that came too late are nothing that their user could have known: it is answered, and not shown. */
  private tooLate(response: DebugProtocol.Response, message: string): null {
    this.refuse(response, message, ERROR_REQUEST, true);
    return null;
  }

  /** What has a thread; null: there is no such thread, and that is the answer. */
  private withThread(response: DebugProtocol.Response, thread: number): Parts | null {
    const { parts } = this;
    if (parts === null) return this.tooLate(response, 'nothing is debugged');
    if (this.isOver) return this.tooLate(response, 'the program has ended');
    return parts.target.threads.some(t => t.id === thread)
      ? parts
      : this.tooLate(response, `there is no thread ${thread}`);
  }

  /** Of a thread that is stopped. */
  private withStopped(response: DebugProtocol.Response, thread: number): Parts | null {
    const parts = this.withThread(response, thread);
    if (parts === null || this.stopped === thread) return parts;
    return this.tooLate(response, NOT_STOPPED);
  }

  protected override continueRequest(
    response: DebugProtocol.ContinueResponse,
    args: DebugProtocol.ContinueArguments,
  ): void {
    const parts = this.withStopped(response, args.threadId);
    if (parts === null) return;
    response.body = { allThreadsContinued: false };
    this.sendResponse(response);
    this.go(parts, args.threadId);
  }

  private go(parts: Parts, thread: number): void {
    this.stopped = null;
    this.forget();
    parts.target.resume(thread);
  }

  private stepBy(
    response: DebugProtocol.Response,
    thread: number,
    kind: StepKind,
    granularity: string | undefined,
    call: number | null = null,
  ): void {
    const parts = this.withStopped(response, thread);
    if (parts === null) return;
    this.sendResponse(response);
    parts.stepping.begin(thread, kind, (granularity ?? 'statement') as Granularity, call);
    this.go(parts, thread);
  }

  protected override nextRequest(
    response: DebugProtocol.NextResponse,
    args: DebugProtocol.NextArguments,
  ): void {
    this.stepBy(response, args.threadId, 'over', args.granularity);
  }

  protected override stepInRequest(
    response: DebugProtocol.StepInResponse,
    args: DebugProtocol.StepInArguments,
  ): void {
    this.stepBy(response, args.threadId, 'in', args.granularity, args.targetId ?? null);
  }

  protected override stepInTargetsRequest(
    response: DebugProtocol.StepInTargetsResponse,
    args: DebugProtocol.StepInTargetsArguments,
  ): void {
    const { parts } = this;
    const frame = parts?.frames.get(args.frameId) ?? null;
    const found = frame === null ? [] : (parts?.stepping.targets(frame) ?? []);
    response.body = { targets: found.map(({ call, name }) => ({ id: call, label: name })) };
    this.sendResponse(response);
  }

  protected override stepOutRequest(
    response: DebugProtocol.StepOutResponse,
    args: DebugProtocol.StepOutArguments,
  ): void {
    this.stepBy(response, args.threadId, 'out', args.granularity);
  }

  protected override pauseRequest(
    response: DebugProtocol.PauseResponse,
    args: DebugProtocol.PauseArguments,
  ): void {
    const parts = this.withThread(response, args.threadId);
    if (parts === null) return;
    this.sendResponse(response);
    parts.target.pause(args.threadId);
  }

  // ---------------------------------------------------------------------------------------------------- Stack and values

  protected override stackTraceRequest(
    response: DebugProtocol.StackTraceResponse,
    args: DebugProtocol.StackTraceArguments,
  ): void {
    const parts = this.withStopped(response, args.threadId);
    if (parts === null) return;
    const all = parts.frames.of(args.threadId);
    const start = args.startFrame ?? 0;
    const end = args.levels ? start + args.levels : all.length;
    response.body = {
      stackFrames: all.slice(start, end).map(f => this.stackFrame(f)),
      totalFrames: all.length,
    };
    this.sendResponse(response);
  }

  private stackFrame(frame: ShownFrame): DebugProtocol.StackFrame {
    const { sources, views } = this.parts!;
    const { source, target } = frame;
    const shown: DebugProtocol.StackFrame = new StackFrame(frame.id, frame.name);
    if (target.kind !== 'wasm') shown.presentationHint = target.functionName === '' ? 'label' : 'subtle';
    else if (source !== null && source.line > 0) {
      shown.source = sources.source(source.file);
      shown.line = source.line;
      shown.column = source.column;
      if (sources.isLibrary(source.file)) shown.presentationHint = 'subtle';
    } else {
      const view = views.at(target.functionIndex, target.wasmOffset);
      if (view !== null) {
        shown.source = new Source(view.name, undefined, view.reference);
        shown.line = view.line;
        shown.column = 1;
      }
    }
    if (target.textOffset >= 0) shown.instructionPointerReference = Disassembly.reference(target.textOffset);
    return shown;
  }

  protected override sourceRequest(
    response: DebugProtocol.SourceResponse,
    args: DebugProtocol.SourceArguments,
  ): void {
    const text = this.parts?.views.text(args.sourceReference) ?? null;
    if (text === null) {
      this.refuse(response, 'there is no such source', ERROR_REQUEST);
      return;
    }
    response.body = { content: text, mimeType: 'text/x-wat' };
    this.sendResponse(response);
  }

  protected override loadedSourcesRequest(response: DebugProtocol.LoadedSourcesResponse): void {
    const { parts } = this;
    const files = parts?.target.symbols.debug?.files ?? [];
    response.body = { sources: files.slice(0, 5000).map(f => parts!.sources.source(f)) };
    this.sendResponse(response);
  }

  protected override scopesRequest(
    response: DebugProtocol.ScopesResponse,
    args: DebugProtocol.ScopesArguments,
  ): void {
    const frame = this.parts?.frames.get(args.frameId) ?? null;
    if (frame === null) {
      this.tooLate(response, this.stopped === null ? NOT_STOPPED : `there is no frame ${args.frameId}`);
      return;
    }
    response.body = { scopes: this.parts!.variables.scopes(frame) };
    this.sendResponse(response);
  }

  protected override variablesRequest(
    response: DebugProtocol.VariablesResponse,
    args: DebugProtocol.VariablesArguments,
  ): void {
    const { variablesReference, filter, start, count } = args;
    this.trying(response, ({ variables }) => {
      response.body = { variables: variables.children(variablesReference, filter, start, count) };
    });
  }

  /** Runs what an expression may fail in: the message is for its author. */
  private trying(response: DebugProtocol.Response, act: (parts: Parts) => void): void {
    try {
      if (this.parts === null) throw new ExpressionError('nothing is debugged');
      act(this.parts);
      this.sendResponse(response);
    } catch (e) {
      if (!(e instanceof ExpressionError)) throw e;
      this.refuse(response, e.message, ERROR_REQUEST);
    }
  }

  private evaluator(parts: Parts, frameId: number | undefined): { evaluator: Evaluator; frame: ShownFrame } {
    const frame = frameId === undefined ? parts.frames.first() : parts.frames.get(frameId);
    if (frame === null) throw new ExpressionError('the program is not stopped here');
    return { evaluator: new Evaluator(parts.target, parts.frames, frame), frame };
  }

  protected override evaluateRequest(
    response: DebugProtocol.EvaluateResponse,
    args: DebugProtocol.EvaluateArguments,
  ): void {
    this.trying(response, parts => {
      const { evaluator, frame } = this.evaluator(parts, args.frameId);
      const result = evaluator.evaluate(args.expression);
      const path = /^[^=]*(?:[=!<>]=[^=]*)*$/.test(args.expression) ? args.expression : '';
      const { value, ...rest } = parts.variables.result(result, frame, path);
      response.body = { result: value, ...rest };
      if (args.expression.includes('=')) this.changed();
    });
  }

  protected override setVariableRequest(
    response: DebugProtocol.SetVariableResponse,
    args: DebugProtocol.SetVariableArguments,
  ): void {
    this.trying(response, parts => {
      response.body = parts.variables.set(args.variablesReference, args.name, args.value);
    });
  }

  protected override setExpressionRequest(
    response: DebugProtocol.SetExpressionResponse,
    args: DebugProtocol.SetExpressionArguments,
  ): void {
    this.trying(response, parts => {
      const { evaluator, frame } = this.evaluator(parts, args.frameId);
      evaluator.assign(evaluator.evaluate(args.expression), evaluator.evaluate(args.value));
      const again = parts.variables.result(evaluator.evaluate(args.expression), frame, args.expression);
      response.body = { value: again.value, variablesReference: again.variablesReference };
    });
  }

  /** Something was set: what is shown of it is old. */
  private changed(): void {
    this.sendEvent(new InvalidatedEvent(['variables']));
  }

  // ------------------------------------------------------------------------------------------------------- Machine views

  protected override readMemoryRequest(
    response: DebugProtocol.ReadMemoryResponse,
    args: DebugProtocol.ReadMemoryArguments,
  ): void {
    const start = memoryAddress(args);
    if (start === null) {
      this.refuse(response, `there is no address ${args.memoryReference}`, ERROR_REQUEST);
      return;
    }
    const state = this.parts?.target.state ?? null;
    const size = state?.memorySize(0) ?? 0;
    const from = Math.max(0, start);
    const count = Math.max(0, Math.min(Math.trunc(args.count) || 0, MAX_MEMORY_READ, size - from));
    const bytes = count === 0 ? null : (state?.memory(0, from, count) ?? null);
    response.body = {
      address: `0x${from.toString(16)}`,
      ...(bytes === null ? {} : { data: Buffer.from(bytes).toString('base64') }),
      unreadableBytes: args.count - (bytes?.length ?? 0),
    };
    this.sendResponse(response);
  }

  protected override writeMemoryRequest(
    response: DebugProtocol.WriteMemoryResponse,
    args: DebugProtocol.WriteMemoryArguments,
  ): void {
    this.trying(response, parts => {
      const start = memoryAddress(args);
      if (start === null || start < 0)
        throw new ExpressionError(`there is no address ${args.memoryReference}`);
      const bytes = Uint8Array.from(Buffer.from(args.data, 'base64'));
      if (!parts.target.state.writeMemory(0, start, bytes))
        throw new ExpressionError('this memory can not be written');
      response.body = { bytesWritten: bytes.length };
      this.changed();
      this.sendEvent(new MemoryEvent(args.memoryReference, args.offset ?? 0, bytes.length));
    });
  }

  protected override async disassembleRequest(
    response: DebugProtocol.DisassembleResponse,
    args: DebugProtocol.DisassembleArguments,
  ): Promise<void> {
    await this.answering(response, () => this.disassemble(response, args));
  }

  private async disassemble(
    response: DebugProtocol.DisassembleResponse,
    args: DebugProtocol.DisassembleArguments,
  ): Promise<void> {
    const at = Disassembly.textOffset(args.memoryReference);
    if (this.parts === null || at === null) {
      this.refuse(response, `there is no code at ${args.memoryReference}`, ERROR_REQUEST);
      return;
    }
    const start = at + (args.offset ?? 0);
    const offset = args.instructionOffset ?? 0;
    if (![start, offset, args.instructionCount].every(Number.isSafeInteger)) {
      this.refuse(response, 'offsets and counts of instructions are integers', ERROR_REQUEST);
      return;
    }
    const instructions = await this.parts.disassembly.disassemble(start, offset, args.instructionCount);
    response.body = { instructions };
    this.sendResponse(response);
  }

  protected override customRequest(command: string, response: DebugProtocol.Response, args: unknown): void {
    if (command === 'lucet.trapReport') {
      response.body = this.parts?.target.trapReport() ?? null;
      this.sendResponse(response);
    } else super.customRequest(command, response, args);
  }
}

/** `**` any folders, `*` within one: what skipFiles are. */
function globPattern(glob: string): RegExp {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*\/?|\*|\?/g, m => (m.startsWith('**') ? '.*' : m === '*' ? '[^/]*' : '[^/]'));
  return new RegExp(`^${source}$`);
}

/** Where a request for memory begins; null: its reference or its offset is no integer. */
function memoryAddress(args: { memoryReference: string; offset?: number }): number | null {
  const at = Number(args.memoryReference) + (args.offset ?? 0);
  return Number.isSafeInteger(at) ? at : null;
}
