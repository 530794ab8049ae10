import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { chmod, link, mkdir, mkdtemp, rm, stat, symlink, truncate, utimes } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLayer } from '../../src/layer/create-layer.ts';
import type { LayerFile } from '../../src/layer/file.ts';
import { type DirectoryOptions, directory, fromFile, writeFile } from '../../src/node/index.ts';
import { encodeText } from '../../src/tar/text.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'files-'));
});
afterEach(() => rm(root, { recursive: true }));

describe('directory', () => {
  test('gives files, directories and symlinks with relative paths and permission bits, and nothing of the machine', async () => {
    await mkdir(join(root, 'sub/empty'), { recursive: true });
    writeFileSync(join(root, 'sub/run'), '#!/bin/sh\n');
    await chmod(join(root, 'sub/run'), 0o4755);
    await chmod(join(root, 'sub'), 0o1750);
    await chmod(join(root, 'sub/empty'), 0o700);
    writeFileSync(join(root, 'plain.txt'), 'plain');
    await chmod(join(root, 'plain.txt'), 0o640);
    await symlink('../outside/../sub', join(root, 'link'));
    await symlink('/etc', join(root, 'sub/absolute'));
    const files = await collect(root);
    expect(files.map(({ body, ...rest }) => rest)).toEqual([
      { path: 'link', type: 'symlink', linkTarget: '../outside/../sub' },
      { path: 'plain.txt', type: 'file', mode: 0o640, size: 5 },
      { path: 'sub', type: 'directory', mode: 0o1750 },
      { path: 'sub/absolute', type: 'symlink', linkTarget: '/etc' },
      { path: 'sub/empty', type: 'directory', mode: 0o700 },
      { path: 'sub/run', type: 'file', mode: 0o4755, size: 10 },
    ]);
    expect(await content(files[1]!)).toBe('plain');
    expect(await content(files[1]!)).toBe('plain');
    expect(await collect(pathToFileURL(root))).toHaveLength(6);
    expect(await collect(`${root}/`)).toHaveLength(6);
  });

  test('takes owners and times where asked', async () => {
    writeFileSync(join(root, 'file'), '');
    await utimes(join(root, 'file'), 1234567890.75, 1234567890.75);
    const [file] = await collect(root, { owners: true, mtime: true });
    const { uid, gid } = await stat(join(root, 'file'));
    expect(file).toMatchObject({ uid, gid, mtime: 1234567890 });
  });

  test('leaves out what the filter refuses, and does not enter a directory that it refuses', async () => {
    await mkdir(join(root, 'kept/deep'), { recursive: true });
    await mkdir(join(root, 'dropped/deep'), { recursive: true });
    for (const path of ['kept/deep/a.js', 'kept/deep/a.map', 'dropped/deep/b.js']) writeFileSync(join(root, path), '');
    const asked: string[] = [];
    const filter = (path: string): boolean => {
      asked.push(path);
      return path !== 'dropped' && !path.endsWith('.map');
    };
    expect((await collect(root, { filter })).map(({ path }) => path)).toEqual(['kept', 'kept/deep', 'kept/deep/a.js']);
    expect(asked.sort()).toEqual(['dropped', 'kept', 'kept/deep', 'kept/deep/a.js', 'kept/deep/a.map']);
  });

  test('keeps hard links, each to the name that comes first by its bytes', async () => {
    await mkdir(join(root, 'a'));
    // Bytewise `a-b` comes before `a/…`, though the directory `a` comes before both; U+FFFD before U+10000, unlike in UTF-16.
    writeFileSync(join(root, 'a/one'), 'same');
    for (const name of ['a-b', 'z', 'a/two']) await link(join(root, 'a/one'), join(root, name));
    writeFileSync(join(root, '\u{10000}'), 'other');
    await link(join(root, '\u{10000}'), join(root, '\ufffd'));
    const files = await collect(root);
    const links = files.filter(({ type }) => type === 'hardlink').map(({ path, linkTarget }) => [path, linkTarget]);
    expect(links).toEqual([
      ['a/one', 'a-b'],
      ['a/two', 'a-b'],
      ['z', 'a-b'],
      ['\u{10000}', '\ufffd'],
    ]);
    expect(files.filter(({ type }) => type === 'file').map(({ path }) => path)).toEqual(['a-b', '\ufffd']);
  });

  test.skipIf(process.platform !== 'linux')(
    'keeps the bytes of names and link targets that are not UTF-8',
    async () => {
      const name = Buffer.concat([Buffer.from('latin-'), Buffer.from([0xe9, 0xff])]);
      const at = Buffer.concat([Buffer.from(`${root}/`), name]);
      await mkdir(at);
      writeFileSync(Buffer.concat([at, Buffer.from('/file')]), 'inside');
      await symlink(name, join(root, 'symlink'));
      const files = await collect(root);
      expect(files.map(({ path }) => path)).toEqual(['latin-\udce9\udcff', 'latin-\udce9\udcff/file', 'symlink']);
      expect(Buffer.compare(encodeText(files[0]!.path)!, name)).toBe(0);
      expect(Buffer.compare(encodeText(files[2]!.linkTarget!)!, name)).toBe(0);
      expect(await content(files[1]!)).toBe('inside');
    },
  );

  test.skipIf(process.platform === 'win32')(
    'takes fifos and devices as such without opening them, and leaves sockets out',
    async () => {
      execFileSync('mkfifo', ['-m', '600', join(root, 'fifo')]);
      const server = createServer().listen(join(root, 'socket'));
      try {
        await new Promise((resolve) => server.once('listening', resolve));
        expect(await collect(root)).toEqual([{ path: 'fifo', type: 'fifo', mode: 0o600 }]);
      } finally {
        server.close();
      }
      const devices = await collect('/dev', { filter: (path) => path === 'null' || path === 'zero' });
      if (process.platform === 'linux') {
        expect(devices).toMatchObject([
          { path: 'null', type: 'character-device', device: { major: 1, minor: 3 } },
          { path: 'zero', type: 'character-device', device: { major: 1, minor: 5 } },
        ]);
      }
    },
  );

  test('opens a file when its body is read, so that what happened to it meanwhile shows', async () => {
    for (const name of ['shrunk', 'grown', 'gone', 'swapped']) writeFileSync(join(root, name), 'x'.repeat(100));
    for (const name of ['large-shrunk', 'large-grown']) writeFileSync(join(root, name), 'x'.repeat(300_000));
    writeFileSync(join(root, 'secret'), 'not to be read through a link');
    const files = new Map((await collect(root)).map((file) => [file.path, file]));
    await truncate(join(root, 'shrunk'), 7);
    await truncate(join(root, 'grown'), 100_000);
    await truncate(join(root, 'large-shrunk'), 70_000);
    await truncate(join(root, 'large-grown'), 700_000);
    await rm(join(root, 'gone'));
    await rm(join(root, 'swapped'));
    await symlink('secret', join(root, 'swapped'));
    expect((await content(files.get('shrunk')!)).length).toBe(7);
    expect((await content(files.get('grown')!)).length).toBe(100_000);
    expect((await content(files.get('large-shrunk')!)).length).toBe(70_000);
    expect((await content(files.get('large-grown')!)).length).toBe(700_000);
    await expect(content(files.get('gone')!)).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
      details: { path: 'gone' },
    });
    await expect(content(files.get('swapped')!)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  });

  test('reads large files whole, and closes those that are left half way', async () => {
    const large = Buffer.alloc(1_000_003, 'abcdefg');
    writeFileSync(join(root, 'large'), large);
    const [file] = await collect(root);
    expect(Buffer.compare(Buffer.from(await content(file!)), large)).toBe(0);
    for (let round = 0; round < 10; round++) {
      for await (const chunk of file!.body as AsyncIterable<Uint8Array>) {
        expect(chunk.length).toBeGreaterThanOrEqual(65_536);
        break;
      }
    }
    if (existsSync('/proc/self/fd')) expect(openFiles()).toEqual([]);
  });

  test('gives chunks to keep to whoever reads a body, though packing reads all of them into the same memory', async () => {
    const sizes = [1, 500, 70_000, 200_000, 262_143, 262_144, 600_000];
    sizes.forEach((size, at) => {
      writeFileSync(join(root, `file${at}`), Buffer.alloc(size, `${at}abc`));
    });
    const [alone, ...together] = await Promise.all(
      [0, 1, 2, 3].map(() => createLayer(directory(root), { compression: 'none' })),
    );
    const bodies = await Promise.all((await collect(root)).map((file) => content(file)));
    bodies.forEach((body, at) => {
      expect(body === readFileSync(join(root, `file${at}`), 'utf8')).toBe(true);
    });
    const held = sizes.map((_, at) => ({
      path: `file${at}`,
      mode: 0o644,
      body: readFileSync(join(root, `file${at}`)),
    }));
    const expected = await createLayer(held, { compression: 'none' });
    for (const layer of [alone!, ...together]) expect(layer.diffId).toBe(expected.diffId);
    if (existsSync('/proc/self/fd')) expect(openFiles()).toEqual([]);
  });

  test('says what is wrong with a path that is no directory', async () => {
    writeFileSync(join(root, 'file'), '');
    await expect(collect(join(root, 'missing'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(collect(join(root, 'file'))).rejects.toMatchObject({ code: 'FILE_INVALID' });
    await expect(collect(join(root, 'file/below'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('an empty directory gives nothing; an aborted signal ends the walk with its reason', async () => {
    expect(await collect(root)).toEqual([]);
    for (const name of ['a', 'b']) writeFileSync(join(root, name), '');
    const abort = new AbortController();
    const seen: string[] = [];
    const walk = async (): Promise<void> => {
      for await (const file of directory(root, { signal: abort.signal })) {
        seen.push(file.path);
        abort.abort('enough');
      }
    };
    await expect(walk()).rejects.toBe('enough');
    expect(seen).toEqual(['a']);
  });
});

describe('fromFile', () => {
  test('gives body, size and mode of one file, links followed', async () => {
    writeFileSync(join(root, 'file'), 'content');
    await chmod(join(root, 'file'), 0o755);
    await symlink('file', join(root, 'link'));
    for (const path of [join(root, 'file'), join(root, 'link'), pathToFileURL(join(root, 'file'))]) {
      const file = await fromFile(path);
      expect(file).toMatchObject({ size: 7, mode: 0o755 });
      expect(await content({ path: 'file', ...file })).toBe('content');
      expect(await content({ path: 'file', ...file })).toBe('content');
    }
    await expect(fromFile(root)).rejects.toMatchObject({ code: 'FILE_INVALID' });
    // Its size is said to be 0.
    if (existsSync('/proc/cpuinfo'))
      expect(await content({ path: 'file', ...(await fromFile('/proc/cpuinfo')) })).toContain('processor');
    await expect(fromFile(join(root, 'missing'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('writeFile', () => {
  test('writes what any source of bytes gives', async () => {
    const target = join(root, 'out.tar');
    await writeFile(target, 'text');
    expect(readFileSync(target, 'utf8')).toBe('text');
    await writeFile(pathToFileURL(target), new Blob(['from a ', 'blob']).stream());
    expect(readFileSync(target, 'utf8')).toBe('from a blob');
    await writeFile(target, [Buffer.alloc(300_000, 1), Buffer.alloc(10, 2), Buffer.alloc(300_000, 3)]);
    expect(readFileSync(target).length).toBe(600_010);
    await writeFile(target, '');
    expect(readFileSync(target, 'utf8')).toBe('');
    expect(readdirSync(root)).toEqual(['out.tar']);
  });

  test('keeps the permission bits of what it replaces, and writes through a symlink', async () => {
    writeFileSync(join(root, 'file'), 'old');
    await chmod(join(root, 'file'), 0o600);
    await symlink('file', join(root, 'link'));
    await writeFile(join(root, 'link'), 'new');
    expect(readFileSync(join(root, 'file'), 'utf8')).toBe('new');
    expect(readlinkSync(join(root, 'link'))).toBe('file');
    expect((await stat(join(root, 'file'))).mode & 0o777).toBe(0o600);
  });

  test('leaves the old file, or none, when the source fails or is aborted', async () => {
    const target = join(root, 'out');
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(500_000);
      throw new Error('of the source');
    };
    await expect(writeFile(target, failing())).rejects.toThrow('of the source');
    expect(readdirSync(root)).toEqual([]);
    writeFileSync(target, 'old');
    const abort = new AbortController();
    let released = false;
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      try {
        for (let round = 0; ; round++) {
          yield new Uint8Array(100_000);
          if (round === 3) abort.abort('enough');
        }
      } finally {
        released = true;
      }
    };
    await expect(writeFile(target, endless(), { signal: abort.signal })).rejects.toBe('enough');
    expect(released).toBe(true);
    await expect(writeFile(target, 'never', { signal: AbortSignal.abort('before') })).rejects.toBe('before');
    expect(readFileSync(target, 'utf8')).toBe('old');
    expect(readdirSync(root)).toEqual(['out']);
  });

  test('refuses what is no regular file, and a directory that is not there, and lets go of the source', async () => {
    let cancelled = 0;
    const source = (): ReadableStream<Uint8Array> =>
      new ReadableStream<Uint8Array>({
        cancel() {
          cancelled++;
        },
      });
    await expect(writeFile(root, source())).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
    await expect(writeFile('/dev/null', source())).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
    await expect(writeFile(join(root, 'no/such'), source())).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(cancelled).toBe(3);
  });
});

async function collect(path: string | URL, options?: DirectoryOptions): Promise<LayerFile[]> {
  const files: LayerFile[] = [];
  for await (const file of directory(path, options)) files.push(file);
  return files;
}

async function content(file: LayerFile): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.body as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function openFiles(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((path) => path.startsWith(root));
}
