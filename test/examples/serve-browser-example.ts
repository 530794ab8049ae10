/**
 * The browser example, built into a temporary directory and served on loopback, under the policy that its page states: sent as a header,
 * as only that binds its worker too.
 */
import { readFileSync } from 'node:fs';
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
  const [, policy] =
    /Content-Security-Policy" content="([^"]+)"/.exec(readFileSync(join(root, 'index.html'), 'utf8')) ?? [];
  if (policy === undefined) throw new Error('the page states no policy');
  const headers = { 'Content-Security-Policy': policy };
  const server = await preview({
    configFile,
    root,
    logLevel: 'warn',
    build: { outDir },
    preview: { port: 0, headers },
  });
  const [url] = server.resolvedUrls?.local ?? [];
  if (url === undefined) throw new Error('the example is served nowhere');
  return { url, close: () => server.close() };
}
