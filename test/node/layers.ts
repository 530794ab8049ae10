/** Layers of any bytes at all, for tests of what unpacks them. */
import { digestOf } from '../../src/bytes/hash.ts';
import { blobStore } from '../../src/content/blob-store.ts';
import { type Layer, layerFrom } from '../../src/layer/layer.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { TarSource } from '../../src/tar/write-tar.ts';
import { bytesOf, encode, entry } from '../tar/archives.ts';

/** An uncompressed layer of these bytes, or of an archive of these entries. */
export async function layerOf(content: Uint8Array | readonly TarSource[]): Promise<Layer> {
  const bytes = content instanceof Uint8Array ? content : encode(...content);
  const store = blobStore(new MemoryStorage());
  return layerFrom(store, await store.write(bytes, { mediaType: mediaTypes.layer }), digestOf(bytes));
}

export function file(path: string, text = `${path}\n`, fields: Partial<TarSource> = {}): TarSource {
  return entry(path, { body: bytesOf(text), ...fields });
}

export function folder(path: string, fields: Partial<TarSource> = {}): TarSource {
  return entry(path, { type: 'directory', mode: 0o755, ...fields });
}

export function symlink(path: string, linkTarget: string, fields: Partial<TarSource> = {}): TarSource {
  return entry(path, { type: 'symlink', linkTarget, mode: 0o777, ...fields });
}

export function hardlink(path: string, linkTarget: string): TarSource {
  return entry(path, { type: 'hardlink', linkTarget });
}

export function fifo(path: string): TarSource {
  return entry(path, { type: 'fifo' });
}
