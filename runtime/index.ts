/** The runtime's public interface. */
export { assemblyScriptImports } from './assemblyscript.ts';
export { InstanceBuilder } from './builder.ts';
export { makeCoredump } from './coredump.ts';
export { EmbedContexts, type EmbedKey } from './embed.ts';
export {
  AsyncHostcallError,
  GuestExit,
  LimitError,
  LinkError,
  LoadError,
  StateError,
  TerminatedError,
  type TerminationReason,
  YieldTypeMismatch,
} from './errors.ts';
export { WasmException } from './exception.ts';
export { type Extern, Global, Memory, Table, Tag } from './externs.ts';
export type { SignalBehavior } from './fault-handlers.ts';
export { Func } from './func.ts';
export { type HostCallback, HostFunction, type HostFunctionOptions, type Vmctx } from './hostcalls.ts';
export { Instance } from './instance.ts';
export type { InstanceOptions, InstanceState } from './instance-options.ts';
export { type KillResult, KillSwitch } from './kill-switch.ts';
export { hasLibrary, libraryPath } from './library.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { type Imports, type ImportValue, Linkage, type NativeImport, type NativeImports } from './linkage.ts';
export { type ExportInfo, type ImportInfo, type LoadOptions, Module } from './module.ts';
export { GuestObject } from './object.ts';
export { Pool, type PoolOptions } from './pool.ts';
export { Region, type RegionOptions, type RegionType, type SlotChooser } from './region.ts';
export { type RegisterName, Stop, type StopAction, type StopFrame, type StopHandler } from './stop.ts';
export { ModuleSymbols, openSymbols } from './symbols.ts';
export { createFunc, createGlobal, createMemory, createTable, createTag } from './synthetic.ts';
export { InternalFault, Trap } from './trap.ts';
export type { FactFrame, FactModule, GuestState, StateCopy, TrapFacts } from './trap-facts.ts';
export {
  makeReport,
  type ReportFrame,
  type ReportVariable,
  type SourcePosition,
  TRAP_REPORT_VERSION,
  type TrapReport,
} from './trap-report.ts';
export type {
  ExternType,
  FuncType,
  GlobalType,
  MemoryType,
  ReferenceType,
  TableType,
  TagType,
  ValueType,
} from './types.ts';
export {
  isWasiFunction,
  WasiContext,
  type WasiContextOptions,
  WasiError,
  type WasiOptions,
  type WasiPreopen,
  type WasiStdio,
  type WasiStream,
  WasiTemplate,
} from './wasi.ts';
export {
  WasiCommand,
  type WasiCommandOptions,
  type WasiRunOptions,
  type WasiRunResult,
} from './wasi-command.ts';
export { type RunResult, Yield, type YieldType } from './yield.ts';
