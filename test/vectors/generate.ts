/**
 * Writes vectors.json anew: `npx tsx test/vectors/generate.ts`, or with `gzip` as argument only the section that depends on
 * the compressor. Run it when a change of the output is meant, and say so in the changelog: it changes users' digests.
 */
import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { imageDigests, layerCases, makeLayer } from './cases.ts';
import type { Vectors } from './vectors.ts';

const file = new URL('vectors.json', import.meta.url);
const only = process.argv[2];
const before = (await readFile(file, 'utf8').then(JSON.parse, () => ({}))) as Partial<Vectors>;
const vectors: Vectors = { layers: before.layers ?? {}, images: before.images ?? {}, gzip: {} };
if (only !== 'gzip') {
  vectors.layers = {};
  for (const each of layerCases) vectors.layers[each.name] = (await makeLayer(each, { compression: 'none' })).diffId;
  vectors.images = await imageDigests();
}
for (const each of layerCases) vectors.gzip[each.name] = (await makeLayer(each)).descriptor.digest;
await writeFile(file, `${JSON.stringify(vectors, undefined, 2)}\n`);
