// Third-party notices: the licences of the packages that are inside of bundles, as they ask for.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @param {string} root the project's folder
 * @param {Iterable<string>} inputs paths of bundled files, relative to it
 * @returns {string} each package's name, version, licence and its text, by name
 */
export function notices(root, inputs) {
  const packages = new Set();
  for (const path of inputs) {
    const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
    if (folder !== undefined) packages.add(folder);
  }
  const parts = [...packages].sort().map(folder => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    // Some tell it only inside of their files' headers, and in the manifest.
    const files = readdirSync(join(root, folder)).filter(f => /^(licen[cs]e|copying|notice)/i.test(f));
    const texts = files.map(f => readFileSync(join(root, folder, f), 'utf8').trim());
    return [`${name} ${version}: ${license}`, ...texts].join('\n\n');
  });
  return `Lucet's programs contain these packages:\n\n${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}
