import { runLucetc } from './cli.ts';

process.exitCode = await runLucetc('lucetc-wasi', process.argv.slice(2));
