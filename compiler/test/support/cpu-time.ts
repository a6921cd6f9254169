/** Milliseconds of processor time that a function takes: unlike time on the clock, the same on a busy machine. */
export function cpuTime(body: () => void): number {
  const start = process.cpuUsage();
  body();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}
