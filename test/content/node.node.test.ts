import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { blobPath, blobStore } from '../../src/content/blob-store.ts';
import { Layout } from '../../src/layout/layout.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { paths, put } from '../storage/contract.ts';
import { blobStoreContract, contentContract, type OpenedStore } from './contract.ts';

blobStoreContract('blobStore over NodeStorage', () => opened(async (storage) => blobStore(storage)));
contentContract('Layout over NodeStorage', () => opened((storage) => Layout.create(storage)));

async function opened<Store>(open: (storage: NodeStorage) => Promise<Store>): Promise<OpenedStore<Store>> {
  const root = await mkdtemp(join(tmpdir(), 'content-'));
  const storage = new NodeStorage(root, { durable: false });
  return {
    store: await open(storage),
    corrupt: (descriptor, content) => put(storage, blobPath(descriptor.digest), content),
    blobs: async () => (await paths(storage, 'blobs/')).map((path) => path.slice(6).replace('/', ':')),
    async cleanup() {
      // Whatever failed or was aborted left no unfinished file, and no file is still open.
      expect(readdirSync(root)).not.toContain('.stowage');
      expect(openFilesUnder(root)).toEqual([]);
      await rm(root, { recursive: true });
    },
  };
}

/** Where the system tells, the files that this process has open under a directory. */
function openFilesUnder(root: string): string[] {
  const folder = '/proc/self/fd';
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    try {
      const target = readlinkSync(join(folder, name));
      return target.startsWith(root) ? [target] : [];
    } catch {
      return [];
    }
  });
}
