/**
 * Arguments of requests: what each must and may hold
 * (https://microsoft.github.io/debug-adapter-protocol/specification), as far as anything here looks at it.
 */

type Check = (value: unknown) => string | null;

const expecting =
  (what: string, test: (v: unknown) => boolean): Check =>
  v =>
    test(v) ? null : `must be ${what}`;

const string = expecting('a string', v => typeof v === 'string');
const integer = expecting('an integer', Number.isSafeInteger);
const natural = expecting('an integer, not below zero', v => Number.isSafeInteger(v) && (v as number) >= 0);
const boolean = expecting('true or false', v => typeof v === 'boolean');

/** @param fields by name; `?` at its end: it may be left out */
function object(fields: Readonly<Record<string, Check>>): Check {
  const list = Object.entries(fields).map(([name, check]) => ({
    name: name.replace(/\?$/, ''),
    optional: name.endsWith('?'),
    check,
  }));
  return v => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) return 'must be an object';
    for (const { name, optional, check } of list) {
      const value = (v as Record<string, unknown>)[name];
      // Some clients write null for what they leave out.
      if (value === undefined || value === null) {
        if (optional) continue;
        return `"${name}" is missing`;
      }
      const problem = check(value);
      if (problem !== null)
        return problem.startsWith('must') ? `"${name}" ${problem}` : `"${name}": ${problem}`;
    }
    return null;
  };
}

function list(of: Check): Check {
  return v => {
    if (!Array.isArray(v)) return 'must be a list';
    for (const [i, item] of v.entries()) {
      const problem = of(item);
      if (problem !== null)
        return `element ${i} ${problem.startsWith('must') ? problem : `has a fault: ${problem}`}`;
    }
    return null;
  };
}

const source = object({ 'name?': string, 'path?': string, 'sourceReference?': integer });
const conditions = { 'condition?': string, 'hitCondition?': string };
const thread = { threadId: integer };
const step = object({ ...thread, 'granularity?': string, 'targetId?': integer });

const ARGUMENTS: Readonly<Record<string, Check>> = {
  initialize: object({
    'pathFormat?': expecting('"path": others are not known', v => v === 'path'),
    'linesStartAt1?': expecting('true: lines are counted from 1', v => v === true),
    'columnsStartAt1?': expecting('true: columns are counted from 1', v => v === true),
  }),
  launch: object({}),
  attach: object({}),
  cancel: object({ 'requestId?': integer }),
  setBreakpoints: object({
    source,
    'breakpoints?': list(object({ line: integer, 'column?': integer, 'logMessage?': string, ...conditions })),
  }),
  setFunctionBreakpoints: object({ breakpoints: list(object({ name: string, ...conditions })) }),
  setInstructionBreakpoints: object({
    breakpoints: list(object({ instructionReference: string, 'offset?': integer, ...conditions })),
  }),
  setDataBreakpoints: object({
    breakpoints: list(object({ dataId: string, 'accessType?': string, ...conditions })),
  }),
  dataBreakpointInfo: object({
    name: string,
    'variablesReference?': integer,
    'frameId?': integer,
    'bytes?': integer,
    'asAddress?': boolean,
  }),
  setExceptionBreakpoints: object({ filters: list(string) }),
  breakpointLocations: object({ source, line: integer, 'endLine?': integer }),
  continue: object(thread),
  next: step,
  stepIn: step,
  stepOut: step,
  pause: object(thread),
  stepInTargets: object({ frameId: integer }),
  stackTrace: object({ ...thread, 'startFrame?': natural, 'levels?': natural }),
  scopes: object({ frameId: integer }),
  variables: object({ variablesReference: integer, 'filter?': string, 'start?': integer, 'count?': integer }),
  setVariable: object({ variablesReference: integer, name: string, value: string }),
  evaluate: object({ expression: string, 'frameId?': integer }),
  setExpression: object({ expression: string, value: string, 'frameId?': integer }),
  source: object({ sourceReference: integer }),
  exceptionInfo: object(thread),
  readMemory: object({ memoryReference: string, 'offset?': integer, count: natural }),
  writeMemory: object({ memoryReference: string, 'offset?': integer, data: string }),
  disassemble: object({
    memoryReference: string,
    'offset?': integer,
    'instructionOffset?': integer,
    instructionCount: natural,
  }),
};

/** What is wrong with the arguments of a request, for whoever wrote the client; null: nothing. */
export function argumentProblem(command: string, args: unknown): string | null {
  const check = Object.hasOwn(ARGUMENTS, command) ? ARGUMENTS[command] : undefined;
  return check?.(args ?? {}) ?? null;
}
