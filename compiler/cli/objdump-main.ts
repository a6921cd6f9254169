import { main } from './objdump.ts';

process.exitCode = await main(process.argv.slice(2));
