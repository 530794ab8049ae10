/** Writing a file of a storage whole, or not at all. */
import type { Storage } from './storage.ts';

/** Writes the chunks to `path`. Where they or the storage fail, nothing of them stays, and the error passes through. */
export async function writeStorageFile(
  storage: Storage,
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: { durable?: boolean } = {},
): Promise<void> {
  const file = await storage.create({ ...options, path });
  try {
    for await (const chunk of chunks) await file.write(chunk);
    await file.commit(path);
  } catch (error) {
    await file.abort();
    throw error;
  }
}
