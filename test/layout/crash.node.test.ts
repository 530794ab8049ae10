/** A writer that dies at any moment leaves a whole layout: checked by killing one, again and again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StowageError } from '../../src/errors.ts';
import { Image } from '../../src/image/image.ts';
import { exportDirectory } from '../../src/layout/export-directory.ts';
import { Layout } from '../../src/layout/layout.ts';
import { NodeStorage } from '../../src/storage/node.ts';

const kills = 200;
/** A layout gets a new one after so many, so that what died there stays quick to verify. */
const killsPerLayout = 5;
/** Milliseconds after the child said that it writes, at first: longer where a busy machine lets it write nothing in that time. */
const firstLatestKill = 40;

let directory: string;
let child: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'crash-'));
  child = join(directory, 'crash-child.mjs');
  // Bundled once: two hundred children that compile TypeScript would take minutes.
  await build({
    entryPoints: [join(import.meta.dirname, 'crash-child.ts')],
    outfile: child,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  });
});
afterAll(() => rm(directory, { recursive: true }));

/** Runs the child on a layout and kills it, `delay` ms after it is ready, or where that is negative, after its start. */
async function killWriter(root: string, round: string, durable: boolean, delay: number): Promise<void> {
  const writer = spawn(process.execPath, [child, root, round, String(durable)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(writer, 'exit');
  if (delay >= 0) await Promise.race([once(writer.stdout, 'data'), exited]);
  await new Promise((resolve) => setTimeout(resolve, Math.abs(delay)));
  writer.kill('SIGKILL');
  const [code, signal] = await exited;
  // It writes until it is killed: an end of its own would be a failure.
  expect([code, signal]).toEqual([null, 'SIGKILL']);
}

test('killing a writing process at random points leaves the layout whole, each time, and earlier tags in place', async () => {
  let round = 0;
  let cutShort = 0;
  let latestKill = firstLatestKill;
  const work = async (): Promise<void> => {
    while (round < kills) {
      const first = round;
      round += killsPerLayout;
      const root = join(directory, `layout-${first}`);
      const earlier = await exportDirectory(Image.scratch({ created: 0 }), new NodeStorage(root), { tag: 'earlier' });
      let tags = 1;
      for (let kill = first; kill < first + killsPerLayout; kill++) {
        const delay = Math.random() * latestKill;
        await killWriter(root, `${kill}`, kill % 4 === 0, delay);
        const layout = await Layout.open(new NodeStorage(root));
        const { faults } = await layout.verify();
        expect(faults.map(({ message }) => `kill ${kill} after ${delay} ms: ${message}`)).toEqual([]);
        expect((await layout.resolve('earlier')).digest).toBe(earlier.digest);
        const known = await layout.tags();
        for (const { descriptor } of known)
          expect((await Image.from(layout, descriptor)).layers.length).toBeLessThan(2);
        // A tag that was seen once is never lost again.
        expect(known.length).toBeGreaterThanOrEqual(tags);
        const { paths } = await layout.gc();
        if (paths.length > 0) cutShort++;
        if (paths.length === 0 && known.length === tags) latestKill = Math.min(latestKill * 1.25, 1000);
        tags = known.length;
      }
      await rm(root, { recursive: true });
    }
  };
  await Promise.all([work(), work()]);
  // Some died between two blobs, or the test would prove nothing.
  expect(cutShort).toBeGreaterThan(0);
}, 300_000);

test('killing a process that makes a layout leaves a whole one or none, which can be made there again', async () => {
  for (let kill = 0; kill < 10; kill++) {
    const root = join(directory, `new-${kill}`);
    await killWriter(root, 'new', true, -(60 + Math.random() * firstLatestKill));
    const storage = new NodeStorage(root);
    const opened = await Layout.open(storage).catch((error: unknown) => error);
    if (opened instanceof Layout) expect((await opened.verify()).faults).toEqual([]);
    else expect((opened as StowageError).code).toBe('LAYOUT_INVALID');
    const layout = await Layout.create(storage);
    expect((await layout.verify()).faults).toEqual([]);
    await rm(root, { recursive: true });
  }
}, 120_000);
