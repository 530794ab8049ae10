import { blobPath, blobStore } from '../../src/content/blob-store.ts';
import { Layout } from '../../src/layout/layout.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { paths, put } from '../storage/contract.ts';
import { blobStoreContract, contentContract, type OpenedStore } from './contract.ts';

blobStoreContract('blobStore over MemoryStorage', async () => {
  const storage = new MemoryStorage();
  return opened(blobStore(storage), storage);
});
contentContract('Layout over MemoryStorage', async () => {
  const storage = new MemoryStorage();
  return opened(await Layout.create(storage), storage);
});

function opened<Store>(store: Store, storage: Storage): OpenedStore<Store> {
  return {
    store,
    corrupt: (descriptor, content) => put(storage, blobPath(descriptor.digest), content),
    blobs: async () => (await paths(storage, 'blobs/')).map((path) => path.slice(6).replace('/', ':')),
    cleanup: async () => {},
  };
}
