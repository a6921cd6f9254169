/** Traps as DAP exceptions: a filter for each kind, and what the editor shows of one. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { TRAPS } from '../compiler/abi/traps.ts';
import type { TrapReport } from '../runtime/index.ts';

/** Codes that a guest can stop with. */
const KINDS = TRAPS.filter(t => t.name !== 'None' && t.name !== 'Interrupt' && t.name !== 'IntegerDivision');

export const EXCEPTION_FILTERS: DebugProtocol.ExceptionBreakpointsFilter[] = [
  ...KINDS.map(t => ({ filter: t.name, label: `Trap: ${t.spec}`, default: true })),
  { filter: 'exit', label: 'Exit status other than 0', default: false },
];

export function exitInfo(status: number): DebugProtocol.ExceptionInfoResponse['body'] {
  const description = `The program ends with exit status ${status}.`;
  return { exceptionId: 'exit', description, breakMode: 'always' };
}

export function exceptionInfo(report: TrapReport): DebugProtocol.ExceptionInfoResponse['body'] {
  const frames = report.frames.filter(f => f.kind === 'wasm');
  return {
    exceptionId: report.code,
    description: `${report.message}. ${report.explanation}`,
    breakMode: 'always',
    details: {
      message: report.explanation,
      typeName: report.code,
      fullTypeName: `lucet.${report.code}`,
      stackTrace: frames
        .slice(0, 50)
        .map(f => {
          const place =
            f.source === null
              ? `${f.moduleName}+0x${f.wasmOffset.toString(16)}`
              : `${f.source.file}:${f.source.line}`;
          return `    at ${f.functionName || `function ${f.functionIndex}`} (${place})`;
        })
        .join('\n'),
    },
  };
}
