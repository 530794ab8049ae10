/** One of many processes that tag in the same layout: `tag-child.ts <directory> <name> <total>`. */
import process from 'node:process';
import { Layout } from '../../src/layout/layout.ts';
import { NodeStorage } from '../../src/storage/node.ts';

const [directory, name, total] = process.argv.slice(2) as [string, string, string];
const layout = await Layout.create(new NodeStorage(directory, { durable: false }));
for (let number = 0; number < Number(total); number++) {
  const blob = await layout.write(`{"image":"${name}-${number}"}`);
  await layout.tag({ ...blob, mediaType: 'application/vnd.example.root' }, `${name}-${number}`);
}
