/** Handlers in JavaScript for faults of generated code: one C callback of each kind serves all instances. */
import koffi from 'koffi';
import { native } from './ffi.ts';

/** The run ends with a Trap; the faulting instruction is executed again; the run ends with a TerminatedError. */
export type SignalBehavior = 'default' | 'continue' | 'terminate';

const BEHAVIORS: readonly SignalBehavior[] = ['default', 'continue', 'terminate'];

/** @param info address of the lucet_trap_info */
type Asked = (info: number) => SignalBehavior;
type Told = (info: number) => void;

/** By native handle of the instance. */
const onSignal = new Map<number, Asked>();
const onFatal = new Map<number, Told>();

/**
 * Instances whose handler is being asked, innermost last: C has a fault of theirs in hand, so they can't be given back.
 */
const asking: number[] = [];

/** @param instance native handle */
export function isAsked(instance: number): boolean {
  return asking.includes(instance);
}

let callbacks: { readonly signal: number; readonly fatal: number } | null = null;

/** JavaScript exceptions can't cross C: an error counts as the default. */
function register(): { readonly signal: number; readonly fatal: number } {
  if (callbacks === null) {
    const address = (proto: string, f: (instance: number, info: number) => unknown): number =>
      Number(koffi.address(koffi.register(f, koffi.pointer(koffi.proto(proto)))));
    callbacks = {
      signal: address(
        'int lucet_signal_handler_js(uintptr_t instance, uintptr_t trap, uintptr_t data)',
        (instance, info) => {
          asking.push(Number(instance));
          try {
            return Math.max(
              0,
              BEHAVIORS.indexOf(onSignal.get(Number(instance))?.(Number(info)) ?? 'default'),
            );
          } catch {
            return 0;
          } finally {
            asking.pop();
          }
        },
      ),
      fatal: address(
        'void lucet_fatal_handler_js(uintptr_t instance, uintptr_t trap, uintptr_t data)',
        (instance, info) => {
          asking.push(Number(instance));
          try {
            onFatal.get(Number(instance))?.(Number(info));
          } catch {
          } finally {
            asking.pop();
          }
        },
      ),
    };
  }
  return callbacks;
}

export function setSignalHandler(instance: number, asked: Asked | null): void {
  if (asked === null) onSignal.delete(instance);
  else onSignal.set(instance, asked);
  native().lucet_instance_set_signal_handler(instance, asked === null ? 0 : register().signal, 0);
}

export function setFatalHandler(instance: number, told: Told | null): void {
  if (told === null) onFatal.delete(instance);
  else onFatal.set(instance, told);
  native().lucet_instance_set_fatal_handler(instance, told === null ? 0 : register().fatal, 0);
}

/** The handle is given back. */
export function forgetHandlers(instance: number): void {
  onSignal.delete(instance);
  onFatal.delete(instance);
}
