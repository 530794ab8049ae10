/** What the tests of NodeStorage run in processes of their own: `node-child.ts <what> <root> [argument]`. */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { StowageError } from '../../src/errors.ts';
import { NodeStorage } from '../../src/storage/node.ts';

const [what, root, argument] = process.argv.slice(2) as [string, string, string];
const storage = new NodeStorage(root, { durable: false });
const forever = (): Promise<never> => new Promise(() => setInterval(() => {}, 1000));

async function commit(path: string, content: Uint8Array): Promise<void> {
  const file = await storage.create();
  await file.write(content);
  await file.commit(path);
}

switch (what) {
  case 'increment':
    for (let round = 0; round < Number(argument); round++) {
      await storage.exclusive('counter', async () => {
        // Fails where somebody else is inside, which a lost increment alone would not always show.
        const marker = join(root, 'inside');
        await (await open(marker, 'wx')).close();
        const value = Number(await new Response(await storage.read('counter')).text());
        await commit('counter', new TextEncoder().encode(String(value + 1)));
        await rm(marker);
      });
    }
    break;
  case 'hold':
    await storage.exclusive('counter', async () => {
      console.log('ready');
      await forever();
    });
    break;
  case 'die-holding':
    for (;;) await storage.exclusive('counter', async () => process.kill(process.pid, 'SIGKILL'));
  case 'leave-unfinished': {
    const file = await storage.create();
    await file.write(new Uint8Array(500_000));
    console.log('ready');
    await forever();
    break;
  }
  case 'replace-for-ever':
    for (let round = 1; ; round++) {
      await commit('index.json', new Uint8Array(300_000 + (round % 7)).fill(round));
      if (round === 3) console.log('ready');
    }
  case 'write-too-much': {
    await commit('small', new Uint8Array(1000));
    const file = await storage.create();
    try {
      for (let written = 0; written < 64; written++) await file.write(new Uint8Array(100_000));
      await file.commit('large');
      console.log('no failure');
    } catch (error) {
      await file.abort();
      const { code, message, details } = error as StowageError;
      console.log(JSON.stringify({ ours: error instanceof StowageError, code, message, platform: details.code }));
    }
    break;
  }
}
