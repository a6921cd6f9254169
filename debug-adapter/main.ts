/** Entry of the debug adapter process: DAP over stdin and stdout. */
import { LucetSession } from './session.ts';
import { HOLD_TERMINAL, holdTerminal } from './terminal.ts';

const [command, socket] = process.argv.slice(2);
if (command === HOLD_TERMINAL && socket !== undefined) holdTerminal(socket);
else LucetSession.run(LucetSession);
