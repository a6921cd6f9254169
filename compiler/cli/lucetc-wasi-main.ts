import { tuneEngine } from '../engine-tuning.ts';
import { runLucetc } from './lucetc.ts';

tuneEngine();
process.exitCode = await runLucetc('lucetc-wasi', process.argv.slice(2));
