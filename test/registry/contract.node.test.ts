/** A repository of docker-registry as a content store like any other. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'vitest';
import { RemoteRepository } from '../../src/registry/repository.ts';
import { contentContract, type OpenedStore } from '../content/contract.ts';
import { describeMissing, hasPeer } from '../peers/debian.ts';
import { skipMissing } from '../peers/peers.ts';
import { type RunningRegistry, startRegistry } from '../peers/registry.ts';

if (hasPeer('docker-registry')) {
  let server: Promise<RunningRegistry> | undefined;
  let opened = 0;
  const open = async (): Promise<OpenedStore<RemoteRepository>> => {
    server ??= startRegistry();
    const { host, root } = await server;
    const name = `contract-${opened++}`;
    const folder = join(root, 'docker/registry/v2');
    const pathOf = (digest: string): string => {
      const [algorithm = '', hex = ''] = digest.split(':');
      return join(folder, 'blobs', algorithm, hex.slice(0, 2), hex, 'data');
    };
    return {
      store: new RemoteRepository(`${host}/${name}`, { retryDelay: 5, chunkSize: 128 * 1024 }),
      async corrupt({ digest }, content) {
        mkdirSync(dirname(pathOf(digest)), { recursive: true });
        writeFileSync(pathOf(digest), content);
      },
      async blobs() {
        const links = join(folder, 'repositories', name, '_layers/sha256');
        if (!existsSync(links)) return [];
        return readdirSync(links)
          .map((hex) => `sha256:${hex}`)
          .sort();
      },
      async cleanup() {
        rmSync(folder, { recursive: true, force: true });
      },
    };
  };
  contentContract('RemoteRepository over docker-registry', open, { mends: false });
} else {
  test('RemoteRepository over docker-registry keeps the contract of content stores', (context) =>
    skipMissing(context, describeMissing('docker-registry')));
}
