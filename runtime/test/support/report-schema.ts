/** Trap reports against docs/trap-report.schema.json. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';

const path = join(import.meta.dirname, '../../../docs/trap-report.schema.json');
const validate = new Ajv({ allErrors: true, strictTypes: false, allowUnionTypes: true }).compile(
  JSON.parse(readFileSync(path, 'utf8')),
);

/** What is wrong with a report; empty: nothing. */
export function validReport(report: unknown): string[] {
  return validate(report) ? [] : (validate.errors ?? []).map(e => `${e.instancePath} ${e.message}`);
}
