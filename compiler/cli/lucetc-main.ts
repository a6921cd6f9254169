import { tuneEngine } from '../engine-tuning.ts';
import { runLucetc } from './lucetc.ts';

tuneEngine();
process.exitCode = await runLucetc('lucetc', process.argv.slice(2));
