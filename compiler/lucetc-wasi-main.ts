import { runLucetc } from './cli.ts';
import { tuneEngine } from './engine-tuning.ts';

tuneEngine();
process.exitCode = await runLucetc('lucetc-wasi', process.argv.slice(2));
