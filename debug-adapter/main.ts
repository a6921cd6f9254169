/** Entry of the debug adapter process: DAP over stdin and stdout. */
import { LucetSession } from './session.ts';

LucetSession.run(LucetSession);
