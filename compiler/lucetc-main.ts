import { runLucetc } from './cli.ts';
import { tuneEngine } from './engine-tuning.ts';

tuneEngine();
process.exitCode = await runLucetc('lucetc', process.argv.slice(2));
