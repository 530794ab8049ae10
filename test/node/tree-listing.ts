/** A directory tree as lines, in the way of mtree: all that two unpackings of one image must agree on. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { run } from '../peers/peers.ts';

/** Each name with type, mode, owner, size, digest, link, device, time of change and the names that share its file; then all xattrs. */
export async function listTree(root: string): Promise<string[]> {
  const lines: string[] = [];
  const names: Buffer[] = [];
  const firstNames = new Map<bigint, string>();
  const visit = (path: Buffer, shown: string): void => {
    names.push(path);
    const found = lstatSync(path, { bigint: true });
    const words = [shown, `mode=${found.mode.toString(8)}`, `owner=${found.uid}:${found.gid}`, `time=${found.mtimeNs}`];
    if (found.isSymbolicLink()) words.push(`link=${readlinkSync(path, { encoding: 'buffer' }).toString('latin1')}`);
    if (found.isBlockDevice() || found.isCharacterDevice()) words.push(`device=${found.rdev}`);
    if (found.isFile()) {
      words.push(`size=${found.size}`, `sha256=${createHash('sha256').update(readFileSync(path)).digest('hex')}`);
    }
    if (!found.isDirectory() && found.nlink > 1n) {
      const first = firstNames.get(found.ino) ?? shown;
      firstNames.set(found.ino, first);
      words.push(`file=${first}`);
    }
    lines.push(words.join(' '));
    if (!found.isDirectory()) return;
    const below = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
    for (const name of below) {
      visit(Buffer.concat([path, Buffer.from('/'), name]), `${shown}/${name.toString('latin1')}`);
    }
  };
  visit(Buffer.from(root), '.');
  return [...lines, ...(await listXattrs(names, root))];
}

async function listXattrs(names: readonly Buffer[], root: string): Promise<string[]> {
  const input = Buffer.concat(names.flatMap((name) => [name, Buffer.of(0)]));
  const args = ['-0', 'getfattr', '-h', '-d', '--absolute-names', '-e', 'hex', '-m', '-', '--'];
  const { stdout } = await run('xargs', args, { input });
  return stdout
    .split('\n\n')
    .filter((file) => file !== '')
    .map((file) => file.replace(`# file: ${root}`, 'xattrs of .').replaceAll('\n', ' '));
}
