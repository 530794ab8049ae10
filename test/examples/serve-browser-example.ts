/** The browser example, built into a temporary directory and served on loopback. */
import { join } from 'node:path';
import { build, preview } from 'vite';
import { temporaryDirectory } from '../peers/peers.ts';

export interface ServedExample {
  url: string;
  close(): Promise<void>;
}

export async function serveBrowserExample(): Promise<ServedExample> {
  const root = join(import.meta.dirname, '../../examples/browser');
  const configFile = join(root, 'vite.config.ts');
  const outDir = temporaryDirectory();
  await build({ configFile, root, logLevel: 'warn', build: { outDir, emptyOutDir: true } });
  const server = await preview({ configFile, root, logLevel: 'warn', build: { outDir }, preview: { port: 0 } });
  const [url] = server.resolvedUrls?.local ?? [];
  if (url === undefined) throw new Error('the example is served nowhere');
  return { url, close: () => server.close() };
}
