import { main } from './objdump-cli.ts';

process.exitCode = await main(process.argv.slice(2));
