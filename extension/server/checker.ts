/** Runs checks in a thread, one after the other; one that takes too long is ended with its thread. */
import { Worker } from 'node:worker_threads';
import type { CheckRequest, CheckResponse } from './check-worker.ts';

export class CheckTimeout extends Error {}

interface Job {
  readonly request: CheckRequest;
  readonly resolve: (response: CheckResponse) => void;
  readonly reject: (error: Error) => void;
}

export class Checker {
  private worker: Worker | null = null;
  private current: Job | null = null;
  private readonly queue: Job[] = [];
  private timer: NodeJS.Timeout | undefined;
  private nextId = 1;

  /** @param script of the thread */
  constructor(
    private readonly script: string | URL,
    private readonly timeoutMs = 15_000,
  ) {}

  /** @throws CheckTimeout */
  run(what: CheckRequest['what'], fileName: string, text: string): Promise<CheckResponse> {
    return new Promise((resolve, reject) => {
      this.queue.push({ request: { id: this.nextId++, what, fileName, text }, resolve, reject });
      this.next();
    });
  }

  private next(): void {
    if (this.current !== null) return;
    const job = this.queue.shift();
    if (job === undefined) return;
    this.current = job;
    this.worker ??= this.start();
    this.timer = setTimeout(() => this.end(new CheckTimeout('checking takes too long')), this.timeoutMs);
    this.worker.postMessage(job.request);
  }

  private start(): Worker {
    const worker = new Worker(this.script);
    worker.unref();
    worker.on('message', (response: CheckResponse) => {
      if (this.current?.request.id !== response.id) return;
      const { resolve } = this.current;
      this.finish();
      resolve(response);
      this.next();
    });
    worker.on('error', e => {
      if (this.worker === worker) this.end(e);
    });
    return worker;
  }

  private finish(): void {
    clearTimeout(this.timer);
    this.current = null;
  }

  /** The thread is lost: the job fails, those behind it get a new one. */
  private end(error: Error): void {
    const job = this.current;
    this.finish();
    void this.worker?.terminate();
    this.worker = null;
    job?.reject(error);
    this.next();
  }

  dispose(): void {
    clearTimeout(this.timer);
    void this.worker?.terminate();
    this.worker = null;
  }
}
