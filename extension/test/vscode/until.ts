/** Waiting for a state instead of for a time. */

const POLL_MS = 50;

/**
 * Ask until the answer is neither empty nor false, and return it. What a probe throws means "not yet": elements go and
 * come while a window is drawn.
 * @throws Error with what was waited for and what the last probe complained of
 */
export async function until<T>(
  what: string,
  probe: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  ms = 60_000,
): Promise<T> {
  const end = Date.now() + ms;
  let last = '';
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = '';
    } catch (e) {
      last = `: ${e instanceof Error ? e.message : String(e)}`;
    }
    if (Date.now() > end) throw new Error(`timed out after ${ms / 1000} s: ${what}${last}`);
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}
