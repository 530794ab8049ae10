/** Layers from tar entries as they are: in any order, twice, with whiteouts, as `createLayer` would never write them. */
import { createHasher } from '../../src/bytes/hash.ts';
import { blobStore } from '../../src/content/blob-store.ts';
import { type ReadNamesOptions, readChangeset } from '../../src/layer/changeset.ts';
import { type Layer, layerFrom } from '../../src/layer/layer.ts';
import { MergedTree } from '../../src/layer/merged-tree.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { TarHeader } from '../../src/tar/entry.ts';
import { writeTar } from '../../src/tar/write-tar.ts';

/** An entry by its path, and what is not as usual. A path that ends in `/` is a directory. */
export type RawEntry = string | (Partial<TarHeader> & { path: string; content?: string });

/** An uncompressed layer that holds these entries in this order. */
export async function rawLayer(entries: readonly RawEntry[], mediaType: string = mediaTypes.layer): Promise<Layer> {
  const hasher = createHasher();
  async function* tar(): AsyncGenerator<Uint8Array> {
    for await (const chunk of writeTar(entries.map(toSource))) {
      hasher.update(chunk);
      yield chunk;
    }
  }
  const store = blobStore(new MemoryStorage());
  const descriptor = await store.write(tar(), { mediaType });
  return layerFrom(store, descriptor, hasher.digest());
}

/** What the layers amount to, the base first. */
export async function mergeLayers(layers: readonly Layer[], options: ReadNamesOptions = {}): Promise<MergedTree> {
  const tree = new MergedTree(options.limits);
  for (const [number, layer] of layers.entries()) tree.apply(await readChangeset(layer, options), number);
  return tree;
}

function toSource(entry: RawEntry): TarHeader & { body: Uint8Array } {
  const { content = '', ...given } = typeof entry === 'string' ? { path: entry } : entry;
  const body = new TextEncoder().encode(content);
  const isDirectory = given.path.endsWith('/');
  return {
    type: isDirectory ? 'directory' : 'file',
    mode: isDirectory ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    size: body.length,
    ...given,
    body,
  };
}
