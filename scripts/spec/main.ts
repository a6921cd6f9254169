import { main } from './spec.ts';

process.exitCode = await main(process.argv.slice(2));
