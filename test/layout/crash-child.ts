/** What the crash test kills: writes images into a layout directory until it dies. `crash-child.mjs <root> <round> <durable>` */
import process from 'node:process';
import { exportDirectory, Image } from '../../src/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';

const [root, round, durable] = process.argv.slice(2) as [string, string, string];
const storage = new NodeStorage(root, { durable: durable === 'true' });
for (let turn = 0; ; turn++) {
  const body = new Uint8Array(3000 + ((turn * 7919) % 60_000)).fill(turn);
  const platforms = turn % 3 === 0 ? ['linux/amd64', 'linux/arm64'] : ['linux/amd64'];
  const images: Image[] = [];
  for (const platform of platforms) {
    const image = Image.scratch({ platform, created: 0 }).label('round', round).label('turn', `${turn}`);
    images.push(await image.addLayer([{ path: 'body', body }, { path: platform }], { compression: 'none' }));
  }
  if (turn === 0) console.log('ready');
  await exportDirectory(images, storage, { tag: turn % 4 === 0 ? `round-${round}` : 'latest' });
}
