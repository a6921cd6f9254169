/**
 * Transcripts of debug sessions: each request with its arguments, what came back, and the events in between, as text
 * that is the same on every run and machine. Folders, native addresses and the text of native instructions are left
 * out; addresses in the guest's memory are not: the compilers' versions are fixed.
 */
import type { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';

type Event = 'stopped' | 'exited' | 'terminated';
/** Of what others say at their own time. */
const LEFT_OUT = new Set([
  'process',
  'thread',
  'loadedSource',
  'lucet.trap',
  'memory',
  'continued',
  'module',
]);

export class Transcript {
  private readonly lines: { text: string }[] = [];
  private readonly arrived: Event[] = [];
  private waiting: { readonly event: Event; readonly resolve: () => void } | null = null;
  private output = '';

  constructor(
    private readonly client: DebugClient,
    private readonly dir: string,
  ) {
    const emit = this.client.emit.bind(this.client);
    this.client.emit = (name: string, ...rest: unknown[]): boolean => {
      const event = rest[0] as DebugProtocol.Event | undefined;
      if (event?.type === 'event' && event.event === name) this.event(event);
      return emit(name, ...rest);
    };
  }

  stop(): Promise<void> {
    return this.client.stop();
  }

  get text(): string {
    return `${this.lines.map(l => l.text).join('\n')}\n`;
  }

  /** A line that says what follows. */
  note(text: string): void {
    this.lines.push({ text: `\n# ${text}` });
  }

  /**
   * An answer stands behind its request, whatever came in between.
   * @returns the response's body; of a request that failed, nothing
   */
  async request<T>(command: string, args: object = {}, show = true): Promise<T> {
    const own = command === 'disassemble' ? { ...args, memoryReference: '<native>' } : args;
    const line = { text: `-> ${command} ${this.plain(own)}` };
    if (show) this.lines.push(line);
    try {
      const { body } = await this.client.send(command, args);
      line.text += `\n<- ${this.plain(body ?? {})}`;
      return body as T;
    } catch (e) {
      line.text += `\n<- error: ${this.plain((e as Error).message)}`;
      return undefined as T;
    }
  }

  async launch(args: object, breakpoints: readonly { path: string; at: readonly object[] }[]): Promise<void> {
    await this.request('initialize', { adapterID: 'lucet', pathFormat: 'path', linesStartAt1: true }, false);
    const initialized = this.client.waitForEvent('initialized');
    const launched = this.request('launch', args);
    await Promise.race([initialized, launched]);
    for (const { path, at } of breakpoints)
      await this.request('setBreakpoints', { source: { path }, breakpoints: at });
    await this.request('configurationDone');
    await launched;
  }

  /** Until an event has come. */
  async until(event: Event): Promise<void> {
    const at = this.arrived.indexOf(event);
    if (at >= 0) this.arrived.splice(0, at + 1);
    else
      await new Promise<void>(resolve => {
        this.waiting = { event, resolve };
      });
    this.flush();
  }

  private event(e: DebugProtocol.Event): void {
    if (e.event === 'output') {
      const { category, output } = (e as DebugProtocol.OutputEvent).body;
      if (category === 'stdout') this.output += output;
      else if (category === 'console') this.output += `[console] ${output}`;
      return;
    }
    if (LEFT_OUT.has(e.event) || e.event === 'initialized') return;
    this.flush();
    this.lines.push({ text: `** ${e.event} ${this.plain(e.body ?? {})}` });
    const name = e.event as Event;
    if (this.waiting?.event === name) {
      const { resolve } = this.waiting;
      this.waiting = null;
      resolve();
    } else this.arrived.push(name);
  }

  /** Output comes in pieces of any size: they are joined. */
  private flush(): void {
    const joined = this.output.trimEnd();
    if (joined !== '') this.lines.push({ text: joined.replace(/^/gm, '   ') });
    this.output = '';
  }

  private plain(value: unknown): string {
    const text = typeof value === 'string' ? value : JSON.stringify(value, normalised);
    return text.replaceAll(this.dir, '<dir>');
  }
}

function normalised(key: string, value: unknown): unknown {
  if (key === 'instructionPointerReference' || key === 'instructionReference') return '<native>';
  if (key === 'instructions' && Array.isArray(value)) return `<${value.length} instructions>`;
  return value;
}
