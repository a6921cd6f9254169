/** CPU time of this process, all threads. */
export class Stopwatch {
  ms = 0;
  /** Was it ever started? */
  used = false;
  private from: NodeJS.CpuUsage | null = null;

  start(): void {
    this.used = true;
    this.from = process.cpuUsage();
  }

  stop(): void {
    if (!this.from) return;
    const { user, system } = process.cpuUsage(this.from);
    this.ms += (user + system) / 1000;
    this.from = null;
  }
}
