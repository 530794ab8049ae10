/** What JSR would publish is what npm does: the same entries, from the sources. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (file: string): { version: string; exports: Record<string, string | { default: string }> } =>
  JSON.parse(readFileSync(join(root, file), 'utf8'));

test('deno.json has the entries and the version of package.json', () => {
  const [npm, jsr] = [read('package.json'), read('deno.json')];
  expect(jsr.version).toBe(npm.version);
  const { './package.json': _, ...entries } = npm.exports;
  const sources = Object.entries(entries).map(([entry, target]) => {
    const built = typeof target === 'string' ? target : target.default;
    return [entry, built.replace('./dist/', './src/').replace(/\.js$/, '.ts')];
  });
  expect(jsr.exports).toEqual(Object.fromEntries(sources));
  for (const source of Object.values(jsr.exports)) expect(existsSync(join(root, source as string))).toBe(true);
});
