/**
 * The module tool: reads, compiles and disassembles modules for views, in a process of its own. What is broken or huge
 * can at worst end this process, which is started again.
 */

import { codeOf, nativeSizes, summary, textOf, trapCode } from './modules.ts';
import type { Method, RequestMessage, Requests, ResponseMessage } from './protocol.ts';

const HANDLERS: {
  [M in Method]: (params: Requests[M]['request']) => Promise<Requests[M]['response']>;
} = {
  summary: p => summary(p.path),
  code: p => codeOf(p),
  nativeSizes: p => nativeSizes(p.path),
  trapCode: p => trapCode(p),
  text: p => textOf(p),
};

function reply(message: ResponseMessage): void {
  process.send?.(message);
}

process.on('message', (message: RequestMessage) => {
  const handler = HANDLERS[message.method] as (params: unknown) => Promise<unknown>;
  handler(message.params).then(
    result => reply({ id: message.id, result }),
    (e: unknown) => reply({ id: message.id, error: e instanceof Error ? e.message : String(e) }),
  );
});
// The extension is gone.
process.on('disconnect', () => process.exit(0));
