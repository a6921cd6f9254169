/** A guest's fault, as an exception. */

import type { Module } from './module.ts';
import { type RawTrap, symbolsOf } from './raw-trap.ts';
import { NO_STATE, type TrapFacts } from './trap-facts.ts';
import { makeReport, type TrapReport, trapWords } from './trap-report.ts';

/** The guest trapped. The instance can be used again. */
export class Trap extends Error {
  override readonly name = 'Trap';
  readonly #make: () => TrapReport;
  #report: TrapReport | null = null;

  /** @param code name of the trap code, as in the report */
  private constructor(
    readonly code: string,
    message: string,
    make: () => TrapReport,
  ) {
    super(message);
    this.#make = make;
  }

  static fromInfo(raw: RawTrap): Trap {
    const { name, message } = trapWords(raw.code);
    return new Trap(name, message, () => raw.report('trap'));
  }

  /** While instantiating: a segment does not fit. */
  static placeless(code: number, module: Module): Trap {
    const { name, message } = trapWords(code);
    return new Trap(name, message, () =>
      makeReport(placelessFacts(code, module), () => symbolsOf(module), NO_STATE),
    );
  }

  /**
   * Made when first asked for, since reading source lines takes time. Ask before the instance runs again or is
   * disposed: the report has variables, and bytes of the memory, only as long as they are what they were at the trap.
   */
  get report(): TrapReport {
    return (this.#report ??= this.#make());
  }
}

/** Generated code faulted where no fault is possible: a defect of Lucet. The instance is lost. */
export class InternalFault extends Error {
  override readonly name = 'InternalFault';
  readonly report: TrapReport;

  constructor(raw: RawTrap) {
    const report = raw.report('fault');
    super(
      `internal fault in function ${report.functionIndex} at pc ${report.pc}, signal ${report.signal}. This is a defect of Lucet; please report it with the module.`,
    );
    this.report = report;
  }
}

function placelessFacts(code: number, module: Module): TrapFacts {
  return {
    kind: 'trap',
    code,
    modules: [{ label: module.label, path: module.path, hash: module.hash }],
    module: 0,
    functionIndex: -1,
    wasmOffset: -1,
    access: null,
    signal: 0,
    faultAddress: null,
    pc: '0x0',
    registers: {},
    frames: [],
    totalFrames: 0,
  };
}
