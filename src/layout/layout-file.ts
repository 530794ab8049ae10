/** The two documents at the top of a layout: `oci-layout` and `index.json`. */
import { readBytes } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Storage } from '../storage/storage.ts';

/** `oci-layout` or `index.json`. Throws `LAYOUT_INVALID` where it is missing. */
export async function readLayoutFile(
  storage: Storage,
  path: string,
  limits: Limits,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (!(await storage.stat(path))) {
    throw new StowageError(
      'LAYOUT_INVALID',
      `There is no ${path} here, so this is no image layout. Give its top folder, or make a new one with Layout.create.`,
      { path },
    );
  }
  return readBytes(await storage.read(path), { maximum: limits.jsonBytes, limit: 'jsonBytes', what: path, signal });
}
