import { runLucetc } from './cli.ts';

process.exitCode = await runLucetc('lucetc', process.argv.slice(2));
