import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readBytes } from '../../src/bytes/byte-source.ts';
import { compileGlob } from '../../src/image/glob.ts';
import { LayerStack } from '../../src/image/layer-stack.ts';
import {
  blobStore,
  createLayer,
  Image,
  type ImageFiles,
  type Layer,
  MemoryStorage,
  type Progress,
} from '../../src/index.ts';
import type { MergedNode } from '../../src/layer/merged-tree.ts';
import { mergeLayers, type RawEntry, rawLayer } from '../layer/raw-layer.ts';

describe('the files of an image', () => {
  test('are those of all layers, the upper over the lower', async () => {
    const { files } = await imageOf(
      ['etc/', text('etc/motd', 'old'), text('etc/hosts', 'localhost')],
      ['etc/', text('etc/motd', 'new')],
    );
    expect(await content(files, '/etc/motd')).toBe('new');
    expect(await content(files, 'etc/hosts')).toBe('localhost');
    expect((await files.list('etc')).map(({ path }) => path)).toEqual(['etc/hosts', 'etc/motd']);
    expect((await files.list()).map(({ path, type, layer }) => [path, type, layer])).toEqual([['etc', 'directory', 1]]);
    expect(await paths(files.walk())).toEqual(['etc', 'etc/hosts', 'etc/motd']);
    expect(await paths(files.walk('/etc/'))).toEqual(['etc/hosts', 'etc/motd']);
  });

  test('have the metadata that their layer gives them', async () => {
    const xattrs = { 'security.capability': new Uint8Array([1, 0, 255]) };
    const { files } = await imageOf([
      { path: 'd/', mode: 0o1777, uid: 7, gid: 8 },
      { path: 'd/f', content: 'four', mode: 0o4755, mtime: 5, xattrs },
      { path: 'd/null', type: 'character-device', device: { major: 1, minor: 3 } },
    ]);
    expect(await files.stat('d')).toMatchObject({
      path: 'd',
      type: 'directory',
      mode: 0o1777,
      uid: 7,
      gid: 8,
      layer: 0,
    });
    expect(await files.stat('/d/f')).toMatchObject({
      path: 'd/f',
      type: 'file',
      size: 4,
      mode: 0o4755,
      mtime: 5,
      xattrs,
    });
    expect(await files.stat('d/null')).toMatchObject({ type: 'character-device', device: { major: 1, minor: 3 } });
    expect(await files.stat('d/none')).toBeUndefined();
    expect(await files.stat('d/f/below')).toBeUndefined();
    expect(await files.stat('/')).toMatchObject({ path: '', type: 'directory', layer: -1 });
  });

  test('are read without the layers below the one that settles the question', async () => {
    const { files, opened } = await imageOf(
      ['bin/', text('bin/sh', 'shell'), 'etc/', 'etc/a', 'etc/b', 'gone', 'srv/', 'srv/x'],
      ['etc/', 'etc/.wh.a', '.wh.gone', 'srv/', 'srv/.wh..wh..opq', 'opt'],
      ['etc/', text('etc/top', 'top')],
    );
    expect(await content(files, 'etc/top')).toBe('top');
    expect(opened).toEqual(new Map([[2, 2]]));
    expect(await files.stat('etc/a')).toBeUndefined();
    expect(await files.stat('gone')).toBeUndefined();
    expect(await files.stat('srv/x')).toBeUndefined();
    expect(await files.stat('opt/below')).toBeUndefined();
    expect(await files.stat('opt')).toMatchObject({ type: 'file' });
    expect(opened).toEqual(
      new Map([
        [2, 2],
        [1, 1],
      ]),
    );
    expect(await content(files, 'bin/sh')).toBe('shell');
    expect(opened).toEqual(
      new Map([
        [2, 2],
        [1, 1],
        [0, 2],
      ]),
    );
    await files.list('etc');
    expect(opened.get(0)).toBe(2);
  });

  test('of the top layer are read from it alone, even where it leaves out the parents of its files', async () => {
    const { files, opened } = await imageOf(
      ['usr/', 'usr/lib/', text('usr/lib/a', 'old'), { path: 'lib', type: 'symlink', linkTarget: 'usr/lib' }],
      [text('lib/a', 'new')],
      [],
    );
    expect(await content(files, 'lib/a')).toBe('new');
    expect(opened.has(0)).toBe(false);
    // By its other name it is known only to who knows the symlink.
    expect(await content(files, 'usr/lib/a')).toBe('new');
    expect(await files.realpath('/lib/a')).toBe('usr/lib/a');
  });

  test('are found through symlinks, which never lead out of the image', async () => {
    const { files } = await imageOf(
      [
        'usr/',
        'usr/lib/',
        text('usr/lib/os-release', 'NAME=x'),
        'etc/',
        link('lib', 'usr/lib'),
        link('etc/os-release', '../usr/lib/os-release'),
        link('etc/abs', '/lib/os-release'),
        link('etc/out', '../../../../usr/lib/os-release'),
        link('etc/dir', '../lib'),
        link('etc/none', 'nothing'),
      ],
      [link('latest', 'etc')],
    );
    for (const path of [
      'etc/os-release',
      'etc/abs',
      'etc/out',
      'etc/dir/os-release',
      '../latest/dir/../lib/os-release',
    ]) {
      expect(await content(files, path)).toBe('NAME=x');
      expect(await files.realpath(path)).toBe('usr/lib/os-release');
    }
    expect(await files.lstat('etc/out')).toMatchObject({ type: 'symlink', path: 'etc/out' });
    expect(await files.stat('etc/out')).toMatchObject({ type: 'file', path: 'etc/out' });
    expect(await files.readlink('latest/abs')).toBe('/lib/os-release');
    expect(await files.stat('etc/none')).toBeUndefined();
    expect((await files.list('latest')).length).toBe(5);
    await expect(files.readlink('usr')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('that are symlinks in a circle are refused, not followed for ever', async () => {
    const chain = Array.from({ length: 42 }, (_, index) => link(`c${index}`, `c${index + 1}`));
    for (const isMerged of [false, true]) {
      const { files } = await imageOf([link('a', 'b'), link('b', './a'), link('self', 'self/x'), ...chain, 'c42']);
      if (isMerged) await files.list();
      for (const path of ['a', 'b/x', 'self', 'c0']) {
        await expect(files.stat(path)).rejects.toMatchObject({ code: 'LINK_LOOP', details: { path } });
      }
      expect(await files.lstat('a')).toMatchObject({ type: 'symlink' });
      expect(await files.stat('c2')).toMatchObject({ type: 'file' });
    }
  });

  test('with several names have one content, also where a lower layer holds it', async () => {
    const { files } = await imageOf(
      [text('a', 'shared'), { path: 'b', type: 'hardlink', linkTarget: './a' }],
      [{ path: 'c', type: 'hardlink', linkTarget: 'b' }, '.wh.a'],
    );
    for (const path of ['b', 'c']) {
      expect(await content(files, path)).toBe('shared');
      expect(await files.lstat(path)).toMatchObject({ type: 'file', path, size: 6, layer: 0 });
    }
    await expect(files.readFile('a')).rejects.toMatchObject({ code: 'NOT_FOUND', details: { path: 'a' } });
  });

  test('can be listed by pattern', async () => {
    const { files } = await imageOf([
      'etc/',
      'etc/.hidden',
      'etc/a.conf',
      'etc/d/',
      'etc/d/b.conf',
      'usr/',
      'usr/c.conf',
    ]);
    expect(await paths(files.glob('**/*.conf'))).toEqual(['etc/a.conf', 'etc/d/b.conf', 'usr/c.conf']);
    expect(await paths(files.glob('/etc/*'))).toEqual(['etc/.hidden', 'etc/a.conf', 'etc/d']);
    expect(await paths(files.glob('{etc/d,usr}/[a-b]*'))).toEqual(['etc/d/b.conf']);
  });

  test('are indexed layer by layer, which is told of as it goes', async () => {
    const image = Image.scratch()
      .append(await rawLayer([text('a', 'x'.repeat(3000))]))
      .append(await rawLayer([text('b', 'y')]));
    const told: Progress[] = [];
    const files = await image.files({ onProgress: (progress) => told.push(progress) });
    await files.stat('b');
    const [base, top] = image.layers.map(({ descriptor }) => descriptor);
    const done = (descriptor = base!): Partial<Progress> => ({
      phase: 'read',
      descriptor,
      transferred: descriptor.size,
      total: descriptor.size,
    });
    expect(told.at(-1)).toEqual(done(top));
    await files.list();
    expect(told.at(-1)).toEqual(done(base));
    expect(told.filter(({ transferred, total }) => transferred === total)).toHaveLength(2);
    await content(files, 'a');
    expect(told.filter(({ transferred, total }) => transferred === total)).toHaveLength(2);
  });

  test('are refused in memory past the maximum, and streamed all the same', async () => {
    const { files } = await imageOf([text('f', 'x'.repeat(1000)), 'd/']);
    await expect(files.readFile('f', { maximum: 999 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect((await files.readFile('f', { maximum: 1000 })).length).toBe(1000);
    let length = 0;
    const reader = (await files.open('f')).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) length += read.value.length;
    expect(length).toBe(1000);
    for (const path of ['d', 'none', '/']) await expect(files.open(path)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(files.list('f')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('do not end cleanly where the layer has changed since it was indexed', async () => {
    const storage = new MemoryStorage();
    const body = new Uint8Array(1_000_000);
    const contents = [
      { path: 'a', body: 'content' },
      { path: 'b', body },
    ];
    const layer = await createLayer(contents, { store: blobStore(storage), compression: 'none' });
    const files = await Image.scratch().append(layer).files();
    expect(await content(files, 'a')).toBe('content');
    const bytes = await bytesOf(await layer.open());
    bytes[500_000]! ^= 1;
    const file = await storage.create();
    for (let at = 0; at < bytes.length; at += 65536) await file.write(bytes.subarray(at, at + 65536));
    await file.commit(`blobs/sha256/${layer.descriptor.digest.slice(7)}`);
    await expect(files.readFile('a')).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(new TextDecoder().decode(await files.readFile('a', { verify: false }))).toBe('content');
  });

  test('end with the reason of an aborted signal, and can be asked again after a failure', async () => {
    const { files } = await imageOf([text('a', 'x')]);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(files.readFile('a', { signal })).rejects.toBe(reason);
    expect(await content(files, 'a')).toBe('x');
    let failures = 1;
    const layer = await rawLayer([text('a', 'x')]);
    const flaky: Layer = {
      ...layer,
      open: async (options) => {
        if (failures-- > 0) throw reason;
        return layer.open(options);
      },
      entries: layer.entries,
    };
    const again = await Image.scratch().append(flaky).files();
    await expect(again.stat('a')).rejects.toBe(reason);
    expect(await again.stat('a')).toMatchObject({ size: 1 });
  });

  test('are the same asked for one by one, from the top down, as merged from the base up', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(anyEntry, { maxLength: 7 }), { minLength: 1, maxLength: 4 }),
        fc.array(anyPath, { minLength: 6, maxLength: 6 }),
        async (entries, asked) => {
          const layers = await Promise.all(entries.map((layer) => rawLayer(layer)));
          const tree = await mergeLayers(layers).catch(() => undefined);
          if (tree === undefined) return;
          const where = (node: MergedNode | undefined): string =>
            node ? `${node.file.layer}@${node.file.offset}` : 'none';
          const links = entries.flat().some((entry) => typeof entry !== 'string' && entry.type === 'symlink');
          const stack = new LayerStack(layers, {});
          for (const path of asked) {
            for (const followLast of [false, true]) {
              const wanted = await settled(async () => tree.resolve(path, followLast));
              const found = await settled(() => stack.resolve(path, followLast));
              expect([found?.path, where(found?.node)]).toEqual([wanted?.path, where(wanted?.node)]);
              if (!links) expect(where((await stack.lookUp(path, followLast))?.node)).toBe(where(wanted?.node));
            }
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('a pattern', () => {
  const cases: [string, string[], string[]][] = [
    ['*', ['a', '.a', 'é'], ['a/b']],
    ['?', ['a', '😀'], ['', 'ab']],
    ['**', ['a', 'a/b/c'], []],
    ['a/**', ['a', 'a/b', 'a/b/c'], ['b/a', 'ab']],
    ['**/b', ['b', 'a/b', 'a/c/b'], ['b/a', 'ab']],
    ['a/**/b/**/c', ['a/b/c', 'a/x/b/y/z/c'], ['a/c', 'a/b/c/d']],
    ['a**b', ['ab', 'axb'], ['a/b']],
    ['*.{js,d.ts}', ['a.js', 'a.d.ts'], ['a.ts']],
    ['{a,b{c,d}}/{,x}y', ['a/y', 'bc/xy', 'bd/y'], ['b/y']],
    ['{a}', ['{a}'], ['a']],
    ['[a-c!]x', ['ax', 'cx', '!x'], ['dx', 'x']],
    ['[!a-c]x', ['dx'], ['ax', '/x']],
    ['[]]', [']'], ['[']],
    ['[a', ['[a'], ['a']],
    ['\\*\\[', ['*['], ['a[']],
    ['/a//b/', ['a/b'], ['a']],
    ['a+(b).c', ['a+(b).c'], ['ab.c', 'aab.c']],
  ];
  for (const [pattern, fitting, others] of cases) {
    test(`${pattern} fits what it says`, () => {
      const fits = compileGlob(pattern);
      expect(fitting.filter((path) => !fits(path))).toEqual([]);
      expect(others.filter((path) => fits(path))).toEqual([]);
    });
  }

  test('takes no more steps than its length times that of the path', () => {
    const fits = compileGlob(`${'*a'.repeat(500)}b`);
    expect(fits('a'.repeat(4000))).toBe(false);
    expect(compileGlob(`${'**/a/'.repeat(500)}b`)('a/'.repeat(2000))).toBe(false);
  });

  test('is refused where it is empty or stands for too many', () => {
    for (const pattern of ['', '{a,b}'.repeat(11)]) {
      expect(() => compileGlob(pattern)).toThrow(expect.objectContaining({ code: 'ARGUMENT_INVALID' }));
    }
  });
});

const anyName = fc.constantFrom('a', 'b', 'c');
const anyPath = fc.array(anyName, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
/** A layer's entries, most of them after their parents, as real layers have them. */
const anyEntry: fc.Arbitrary<RawEntry> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('a/', 'b/', 'a/b/', 'a/', 'c/', 'b/c/') },
  { weight: 4, arbitrary: anyPath },
  { weight: 4, arbitrary: anyPath.map((path) => `${path}/`) },
  { weight: 2, arbitrary: fc.constantFrom('.wh.a', '.wh.b', 'a/.wh.b', 'a/.wh.c', 'b/.wh.c', 'a/b/.wh.a') },
  { weight: 2, arbitrary: fc.constantFrom('.wh..wh..opq', 'a/.wh..wh..opq', 'a/b/.wh..wh..opq', 'b/.wh..wh..opq') },
  {
    weight: 1,
    arbitrary: fc.tuple(anyPath, fc.constantFrom('a', '../b', '/c', 'a/b')).map(([path, target]) => link(path, target)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(anyPath, anyPath)
      .map(([path, linkTarget]): RawEntry => ({ path, type: 'hardlink', linkTarget })),
  },
);

async function settled<T>(task: () => Promise<T>): Promise<T | undefined> {
  try {
    return await task();
  } catch {
    return undefined;
  }
}

/** An image of raw layers, its files, and how often each layer was opened. */
async function imageOf(...layers: RawEntry[][]): Promise<{ files: ImageFiles; opened: Map<number, number> }> {
  const opened = new Map<number, number>();
  let image = Image.scratch();
  for (const [number, entries] of layers.entries()) {
    const layer = await rawLayer(entries);
    const open: Layer['open'] = (options) => {
      opened.set(number, (opened.get(number) ?? 0) + 1);
      return layer.open(options);
    };
    image = image.append({ ...layer, open });
  }
  return { files: await image.files(), opened };
}

async function content(files: ImageFiles, path: string): Promise<string> {
  return new TextDecoder().decode(await files.readFile(path));
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return readBytes(stream);
}

async function paths(found: AsyncIterable<{ path: string }>): Promise<string[]> {
  const list: string[] = [];
  for await (const { path } of found) list.push(path);
  return list;
}

function text(path: string, body: string): RawEntry {
  return { path, content: body };
}

function link(path: string, linkTarget: string): RawEntry {
  return { path, type: 'symlink', linkTarget };
}
