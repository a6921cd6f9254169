/** Ending or pausing a guest from outside. */
import { KILL_RESULTS, native } from './ffi.ts';

/**
 * Signalled: it ran, and has been interrupted. Pending: a host function is at work, or the guest waits; it ends as soon
 * as it would go on. Cancelled: it had not begun, and ends before its first instruction. NotTerminable: it has been
 * killed already. Invalid: the run is over, or the instance is gone.
 */
export type KillResult = (typeof KILL_RESULTS)[number];

const registry = new FinalizationRegistry<number>(address => native().lucet_kill_switch_release(address));

/**
 * A handle on one run of an instance: the one under way when it was made, or the next. It may be used at any time, and
 * through its token by other threads: a guest keeps the thread busy that runs it.
 */
export class KillSwitch {
  readonly #address: number;
  readonly #whenPending: () => void;
  readonly #whenPausePending: () => void;

  constructor(address: number, whenPending: () => void = () => {}, whenPausePending: () => void = () => {}) {
    this.#address = address;
    this.#whenPending = whenPending;
    this.#whenPausePending = whenPausePending;
    registry.register(this, address);
  }

  /** The run ends with a TerminatedError of reason `remote`. */
  terminate(): KillResult {
    const result = KILL_RESULTS[native().lucet_kill_switch_terminate(this.#address)]!;
    if (result === 'Pending') this.#whenPending();
    return result;
  }

  /**
   * The run stops where it is, and Instance.onStop is called; also where it waits in WASI, for input, room for output,
   * or a time (Stop.isInHost). NotTerminable: it is about to.
   */
  pause(): KillResult {
    const result = KILL_RESULTS[native().lucet_kill_switch_pause(this.#address)]!;
    if (result === 'Pending') this.#whenPausePending();
    return result;
  }

  /**
   * For one KillSwitch.fromToken, in any thread of this process. A token that isn't used keeps some bytes of memory.
   */
  token(): number {
    native().lucet_kill_switch_retain(this.#address);
    return this.#address;
  }

  static fromToken(token: number): KillSwitch {
    return new KillSwitch(token);
  }
}
