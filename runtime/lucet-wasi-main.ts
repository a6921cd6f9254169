import { main } from './lucet-wasi.ts';

process.exit(await main(process.argv.slice(2)));
