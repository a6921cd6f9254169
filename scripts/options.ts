/** Options of the commands that `npm run` has for developers: what is wrong with them is told with what they take. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

/**
 * The process's options. `--help` prints the usage and ends the process; so do options that nobody knows, with status
 * 1.
 * @param usage one line for the command, and one for each option
 */
export function scriptOptions<const T extends Options>(
  usage: string,
  options: T,
): ReturnType<typeof parseArgs<{ options: T }>>['values'] {
  if (process.argv.includes('--help')) {
    process.stdout.write(usage);
    process.exit(0);
  }
  try {
    return parseArgs<{ options: T }>({ options }).values;
  } catch (e) {
    process.stderr.write(`${(e as Error).message}\n${usage}`);
    process.exit(1);
  }
}
