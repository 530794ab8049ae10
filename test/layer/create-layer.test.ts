import fc from 'fast-check';
import { createTar, parseTar } from 'nanotar';
import { describe, expect, test } from 'vitest';
import { readBytes, readChunks } from '../../src/bytes/byte-source.ts';
import { gunzip } from '../../src/bytes/gunzip.ts';
import { digestOf } from '../../src/bytes/hash.ts';
import type { Progress } from '../../src/bytes/progress.ts';
import { blobStore } from '../../src/content/blob-store.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import type { CreateLayerOptions, LayerFile } from '../../src/layer/file.ts';
import type { Layer } from '../../src/layer/layer.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { TarHeader } from '../../src/tar/entry.ts';
import { all, bytes, failureOf, pattern } from '../content/contract.ts';
import { paths } from '../storage/contract.ts';

const plain: CreateLayerOptions = { compression: 'none', mtime: 0 };

describe('the same files', () => {
  const name = fc.oneof(
    fc.constantFrom('a', 'b', 'a-b', 'a.b', 'A', 'ä', '\u{1f600}', '\uffee', '\ud7ff', '0', '~', ' '),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter((text) => !/[/\0]|^\.\.?$/.test(text)),
  );
  const file = fc.record({
    path: fc.array(name, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/')),
    size: fc.integer({ min: 0, max: 3000 }),
    cuts: fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 4 }),
    mode: fc.option(fc.integer({ min: 0, max: 0o7777 }), { nil: undefined }),
    mtime: fc.option(fc.integer({ min: -1000, max: 2e9 }), { nil: undefined }),
  });
  const files = fc
    .uniqueArray(file, { maxLength: 12, selector: ({ path }) => path })
    .map((list) => list.filter(({ path }) => !list.some((other) => other.path.startsWith(`${path}/`))));

  test('give the same digest in any order and in any chunks', async () => {
    await fc.assert(
      fc.asyncProperty(files, fc.func(fc.nat()), async (list, order) => {
        const whole: LayerFile[] = list.map(({ path, size, mode, mtime }) => ({
          path,
          mode,
          mtime,
          body: pattern(size),
        }));
        const cut: LayerFile[] = list
          .map(({ path, size, mode, mtime, cuts }) => ({
            path: `/./${path.replaceAll('/', '//')}`,
            size,
            mode,
            mtime,
            body: inChunks(pattern(size), cuts),
          }))
          .sort((a, b) => order(a.path) - order(b.path));
        const [one, two] = [await createLayer(whole, plain), await createLayer(cut, plain)];
        expect(two.diffId).toBe(one.diffId);
        expect(two.descriptor).toEqual(one.descriptor);
        expect(one.descriptor.digest).toBe(one.diffId);
      }),
      { numRuns: 150 },
    );
  });

  test('give the same gzip bytes in any order, chunks and store', async () => {
    const content = pattern(300_000);
    const make = (body: LayerFile['body'], reverse: boolean): Promise<Layer> => {
      const list = [
        { path: 'b', body, size: content.length },
        { path: 'a', body: 'a' },
      ];
      return createLayer(reverse ? list.reverse() : list, { mtime: 0, store: blobStore(new MemoryStorage()) });
    };
    const one = await make(content, false);
    const two = await make(inChunks(content, [1, 7, 65536, 13]), true);
    expect(two.descriptor).toEqual(one.descriptor);
    expect(one.descriptor.mediaType).toBe(mediaTypes.layerGzip);
    const tar = await readBytes(gunzip(readChunks(await one.open())));
    expect(digestOf(tar)).toBe(one.diffId);
  });

  test('stand in the order of their UTF-8 bytes, parents first, hard links last', async () => {
    await fc.assert(
      fc.asyncProperty(files, async (list) => {
        const input: LayerFile[] = list.flatMap(({ path }, index): LayerFile[] => [
          { path },
          { path: `links/${index}`, type: 'hardlink', linkTarget: path },
        ]);
        const headers = await headersOf(await createLayer(input, plain));
        const links = headers.findIndex(({ type }) => type === 'hardlink');
        const rest = links < 0 ? headers : headers.slice(0, links);
        expect(headers.slice(rest.length).every(({ type }) => type === 'hardlink')).toBe(true);
        const names = rest.map((header) => hex(header.path));
        expect(names).toEqual(names.toSorted());
        const seen = new Set(['']);
        for (const header of headers) {
          expect(seen).toContain(header.path.slice(0, Math.max(0, header.path.lastIndexOf('/'))));
          if (header.type === 'directory') seen.add(header.path);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('sort characters outside of the basic plane behind all within it', async () => {
    const names = ['\u{10000}', '\uffff', '\ud7ff', '\ue000', 'z', '\u{10ffff}', 'a\u{1f600}', 'a\uff5e'];
    const headers = await headersOf(
      await createLayer(
        names.map((path) => ({ path })),
        plain,
      ),
    );
    expect(headers.map(({ path }) => path)).toEqual([
      'a\uff5e',
      'a\u{1f600}',
      'z',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '\u{10000}',
      '\u{10ffff}',
    ]);
  });
});

describe('what is packed', () => {
  test('has the defaults of a newcomer', async () => {
    const headers = await headersOf(
      await createLayer(
        [
          { path: '/etc/motd', body: 'hello\n' },
          { path: './bin/sh', type: 'symlink', linkTarget: '../usr/bin/sh' },
          { path: 'tmp/', mode: 0o1777 },
          { path: 'dev/null', type: 'character-device', device: { major: 1, minor: 3 }, mode: 0o666 },
          { path: 'dev/sda', type: 'block-device', device: { major: 8, minor: 0 } },
          { path: 'run/pipe', type: 'fifo' },
          { path: 'etc/motd2', type: 'hardlink', linkTarget: '/etc/motd' },
        ],
        plain,
      ),
    );
    const common = { uid: 0, gid: 0, mtime: 0 };
    const directory = { ...common, type: 'directory', mode: 0o755, size: 0 };
    expect(headers.map((header) => ({ ...header }))).toMatchObject([
      { ...directory, path: 'bin' },
      { ...common, path: 'bin/sh', type: 'symlink', linkTarget: '../usr/bin/sh', mode: 0o777 },
      { ...directory, path: 'dev' },
      { ...common, path: 'dev/null', type: 'character-device', device: { major: 1, minor: 3 }, mode: 0o666 },
      { ...common, path: 'dev/sda', type: 'block-device', device: { major: 8, minor: 0 }, mode: 0o644 },
      { ...directory, path: 'etc' },
      { ...common, path: 'etc/motd', type: 'file', size: 6, mode: 0o644 },
      { ...directory, path: 'run' },
      { ...common, path: 'run/pipe', type: 'fifo', mode: 0o644 },
      { ...directory, path: 'tmp', mode: 0o1777 },
      { ...common, path: 'etc/motd2', type: 'hardlink', linkTarget: 'etc/motd' },
    ]);
    expect(headers.every(({ uname, gname }) => !uname && !gname)).toBe(true);
  });

  test('may be nothing at all', async () => {
    const layer = await createLayer([], plain);
    expect(layer.descriptor.size).toBe(1024);
    expect(await headersOf(layer)).toEqual([]);
  });

  test('may name the root itself, which comes first', async () => {
    for (const root of ['/', '.', './', '/./']) {
      const headers = await headersOf(await createLayer([{ path: '!early' }, { path: root, mode: 0o700 }], plain));
      expect(headers.map(({ path }) => path)).toEqual(['.', '!early']);
      expect(headers[0]?.mode).toBe(0o700);
    }
  });

  test('gets its parents made up with the time of the layer, unless they are given or not wanted', async () => {
    const list = [
      { path: 'a/b/c/d', mtime: 5 },
      { path: 'a/b', mode: 0o700, type: 'directory' as const },
    ];
    const headers = await headersOf(await createLayer(list, { ...plain, mtime: 7 }));
    expect(headers.map(({ path, mode, mtime }) => [path, mode, mtime])).toEqual([
      ['a', 0o755, 7],
      ['a/b', 0o700, 7],
      ['a/b/c', 0o755, 7],
      ['a/b/c/d', 0o644, 5],
    ]);
    const bare = await headersOf(await createLayer(list, { ...plain, parents: false }));
    expect(bare.map(({ path }) => path)).toEqual(['a/b', 'a/b/c/d']);
  });

  test('keeps names of every length and script, and attributes as bytes', async () => {
    const path = `${'directory/'.repeat(30)}${'名'.repeat(80)}`;
    const xattrs = { 'user.note': bytes('a\0b'), 'security.capability': Uint8Array.of(1, 0, 0, 2, 0xff, 0xfe) };
    const headers = await headersOf(await createLayer([{ path, xattrs, body: 'x' }], plain));
    expect(headers.at(-1)?.path).toBe(path);
    expect({ ...headers.at(-1)?.xattrs }).toEqual(xattrs);
  });

  test('has bodies of every kind', async () => {
    const hello = bytes('hello');
    const bodies: LayerFile['body'][] = [
      'hello',
      hello,
      hello.slice().buffer,
      new Blob(['hello']),
      new Response('hello').body as ReadableStream<Uint8Array>,
      inChunks(hello, [1]),
      [bytes('he'), bytes('llo')],
    ];
    const digests = await Promise.all(
      bodies.map(async (body) => (await createLayer([{ path: 'f', body }], plain)).diffId),
    );
    expect(new Set(digests).size).toBe(1);
    const empty = [undefined, '', new Uint8Array(0), new Blob([]), inChunks(new Uint8Array(0), [])];
    const sizes = await Promise.all(
      empty.map(async (body) => (await headersOf(await createLayer([{ path: 'f', body }], plain)))[0]?.size),
    );
    expect(sizes).toEqual([0, 0, 0, 0, 0]);
  });

  test('has links to links name what those name', async () => {
    const link = (path: string, linkTarget: string): LayerFile => ({ path, type: 'hardlink', linkTarget });
    const headers = await headersOf(
      await createLayer([link('a', 'b'), link('b', 'c'), link('c', 'z'), { path: 'z', body: 'x' }], plain),
    );
    expect(headers.map(({ path, linkTarget }) => [path, linkTarget])).toEqual([
      ['z', undefined],
      ['a', 'z'],
      ['b', 'z'],
      ['c', 'z'],
    ]);
    // The target may be in a layer below.
    expect((await headersOf(await createLayer([link('new', 'bin/busybox')], plain)))[0]?.linkTarget).toBe(
      'bin/busybox',
    );
  });

  test('is told as it goes', async () => {
    const seen: Progress[] = [];
    const body = pattern(200_000);
    await createLayer(
      [
        { path: 'known', body },
        { path: 'stream', body: inChunks(body, [70_000]) },
        { path: 'sized', body: inChunks(body, [70_000]), size: body.length },
        { path: 'link', type: 'symlink', linkTarget: 'known' },
      ],
      { ...plain, onProgress: (progress) => seen.push({ ...progress }) },
    );
    expect(seen).toEqual([
      { phase: 'build', path: 'known', transferred: 200_000, total: 200_000 },
      { phase: 'build', path: 'link', transferred: 0, total: 0 },
      { phase: 'build', path: 'sized', transferred: 200_000, total: 200_000 },
      { phase: 'build', path: 'stream', transferred: 200_000, total: 200_000 },
    ]);
  });

  test('goes into the store that was given, with the annotations that were given', async () => {
    const storage = new MemoryStorage();
    const annotations = { 'org.opencontainers.image.title': 'files' };
    const layer = await createLayer([{ path: 'a' }], { ...plain, store: blobStore(storage), annotations });
    expect(layer.descriptor.annotations).toEqual(annotations);
    expect(await paths(storage)).toEqual([`blobs/${layer.diffId.replace(':', '/')}`]);
    expect(digestOf(await all(await layer.open()))).toBe(layer.descriptor.digest);
    expect(digestOf(await all(await layer.open()))).toBe(layer.descriptor.digest);
  });

  test('may be compressed natively or at another level, with the same diff ID', async () => {
    const files = [{ path: 'a', body: pattern(100_000) }];
    const layers = [
      await createLayer(files, { mtime: 0 }),
      await createLayer(files, { mtime: 0, gzip: { level: 1 } }),
      await createLayer(files, { mtime: 0, gzip: { level: 0 } }),
      await createLayer(files, { mtime: 0, gzip: { engine: 'native' } }),
    ];
    expect(new Set(layers.map(({ diffId }) => diffId)).size).toBe(1);
    for (const layer of layers) expect((await headersOf(layer))[0]?.size).toBe(100_000);
  });
});

describe('times', () => {
  const timed = async (options: CreateLayerOptions, ...mtimes: LayerFile['mtime'][]): Promise<unknown[]> => {
    const list = mtimes.map((mtime, index) => ({ path: `${index}`, mtime }));
    const headers = await headersOf(await createLayer(list, { ...plain, ...options }));
    return headers.map(({ mtime, nanoseconds }) => (nanoseconds === undefined ? mtime : [mtime, nanoseconds]));
  };

  test('are Dates or seconds, and whole ones unless fractions are wanted', async () => {
    const date = new Date('2024-02-29T12:34:56.789Z');
    expect(await timed({}, date, 1.9, -1.5, 0, undefined)).toEqual([1709210096, 1, -2, 0, 0]);
    expect(await timed({ nanoseconds: true }, date, 1.9, -1.5, 0, 1700000000.123, 1.9999999)).toEqual([
      [1709210096, 789_000_000],
      [1, 900_000_000],
      [-2, 500_000_000],
      0,
      [1700000000, 123_000_000],
      2,
    ]);
  });

  test('come from the option where a file has none', async () => {
    expect(await timed({ mtime: 12 }, undefined, 3)).toEqual([12, 3]);
    expect(await timed({ mtime: new Date(12_000) }, undefined)).toEqual([12]);
    expect(await timed({ mtime: 12.5, nanoseconds: true }, undefined)).toEqual([[12, 500_000_000]]);
  });

  test('may lie before 1970 and after 2242', async () => {
    expect(await timed({}, -62135596800, 253402300799)).toEqual([-62135596800, 253402300799]);
  });
});

describe('what cannot be packed is refused by name, and nothing is stored', () => {
  const cases: [what: string, code: string, files: unknown, named: string | RegExp, options?: CreateLayerOptions][] = [
    ['the same path twice', 'PATH_DUPLICATE', [{ path: 'a/b' }, { path: '/a//b' }], 'a/b'],
    ['the same directory twice', 'PATH_DUPLICATE', [{ path: 'a/' }, { path: 'a', type: 'directory' }], '"a"'],
    ['the root twice', 'PATH_DUPLICATE', [{ path: '/' }, { path: '.' }], '"."'],
    ['a path that climbs', 'PATH_INVALID', [{ path: '../etc/passwd' }], '../etc/passwd'],
    ['a path that climbs and returns', 'PATH_INVALID', [{ path: 'a/../b' }], 'a/../b'],
    ['an empty path', 'PATH_INVALID', [{ path: '' }], /empty/],
    ['no path', 'PATH_INVALID', [{ body: 'x' }], /empty/],
    ['a NUL in a path', 'PATH_INVALID', [{ path: 'a\0b' }], 'a\\u0000b'],
    ['half a character in a path', 'PATH_INVALID', [{ path: 'a\ud83d' }], 'a\\ud83d'],
    ['a path past the limit, in bytes', 'LIMIT_EXCEEDED', [{ path: 'ü'.repeat(2049) }], 'pathBytes'],
    ['a link target past the limit', 'LIMIT_EXCEEDED', [link('a', 'symlink', 'x'.repeat(4097))], '"a"'],
    ['a link target with a NUL', 'FILE_INVALID', [link('a', 'symlink', 'x\0y')], '"a"'],
    ['a hard link out of the image', 'PATH_INVALID', [link('a', 'hardlink', '../b')], '../b'],
    ['a link without a target', 'FILE_INVALID', [{ path: 'a', type: 'symlink' }], /"a".*linkTarget/],
    ['a link with an empty target', 'FILE_INVALID', [link('a', 'hardlink', '')], /"a".*linkTarget/],
    ['a file with a link target', 'FILE_INVALID', [{ path: 'a', linkTarget: 'b' }], /"a".*linkTarget/],
    ['hard links in a circle', 'FILE_INVALID', [link('a', 'hardlink', 'b'), link('b', 'hardlink', 'a')], /circle/],
    ['a hard link to itself', 'FILE_INVALID', [link('a', 'hardlink', 'a')], /circle at "a"/],
    ['a hard link to a directory', 'FILE_INVALID', [link('a', 'hardlink', 'b'), { path: 'b/' }], /"a".*"b"/],
    ['a file below a file', 'FILE_INVALID', [{ path: 'a' }, { path: 'a/b/c' }], /"a\/b\/c".*"a"/],
    [
      'a file below a file, without parents',
      'FILE_INVALID',
      [{ path: 'a' }, { path: 'a/b/c' }],
      /"a"/,
      { parents: false },
    ],
    ['a file below a symlink', 'FILE_INVALID', [link('a', 'symlink', 'b'), { path: 'a/c' }], /"a\/c".*symlink/],
    ['an unknown type', 'FILE_INVALID', [{ path: 'a', type: 'socket' }], /"a".*socket/],
    ['a file as the root', 'FILE_INVALID', [{ path: '/', type: 'file' }], /root/],
    ['a negative mode', 'FILE_INVALID', [{ path: 'a', mode: -1 }], /"a": mode is -1/],
    ['a mode with the type of the file', 'FILE_INVALID', [{ path: 'a', mode: 0o100644 }], /"a": mode/],
    ['a mode that is a fraction', 'FILE_INVALID', [{ path: 'a', mode: 1.5 }], /"a": mode/],
    ['a mode as text', 'FILE_INVALID', [{ path: 'a', mode: '644' }], /"a": mode/],
    ['a negative owner', 'FILE_INVALID', [{ path: 'a', uid: -1 }], /"a": uid/],
    ['a group past 32 bits', 'FILE_INVALID', [{ path: 'a', gid: 2 ** 32 }], /"a": gid/],
    ['a time that is none', 'FILE_INVALID', [{ path: 'a', mtime: new Date('never') }], /"a": mtime/],
    ['a time as text', 'FILE_INVALID', [{ path: 'a', mtime: '2024-01-01' }], /"a": mtime/],
    ['a negative size', 'FILE_INVALID', [{ path: 'a', size: -1, body: inChunks(bytes('x'), []) }], /"a": size is -1/],
    [
      'a size that is no number',
      'FILE_INVALID',
      [{ path: 'a', size: Number.NaN, body: inChunks(bytes('x'), []) }],
      '"a"',
    ],
    ['a size that its bytes belie', 'SIZE_MISMATCH', [{ path: 'a', size: 3, body: 'four' }], /"a".*3.*4/],
    ['a size without a body', 'SIZE_MISMATCH', [{ path: 'a', size: 3 }], '"a"'],
    [
      'a stream that is shorter than said',
      'SIZE_MISMATCH',
      [{ path: 'a', size: 6, body: inChunks(bytes('hello'), [2]) }],
      /"a".*5.*6/,
    ],
    [
      'a stream that is longer than said',
      'SIZE_MISMATCH',
      [{ path: 'a', size: 4, body: inChunks(bytes('hello'), [2]) }],
      /"a".*4/,
    ],
    ['a directory with a body', 'FILE_INVALID', [{ path: 'a/', body: 'x' }], /"a": body/],
    ['a link with a size', 'FILE_INVALID', [{ ...link('a', 'symlink', 'b'), size: 1 }], /"a": size/],
    ['a device without numbers', 'FILE_INVALID', [{ path: 'a', type: 'block-device' }], /"a": device/],
    [
      'a device with impossible numbers',
      'FILE_INVALID',
      [{ path: 'a', type: 'block-device', device: { major: -1, minor: 0 } }],
      /"a": device.major/,
    ],
    ['a file with device numbers', 'FILE_INVALID', [{ path: 'a', device: { major: 1, minor: 0 } }], /"a": device/],
    ['an attribute that is no bytes', 'FILE_INVALID', [{ path: 'a', xattrs: { 'user.x': 'text' } }], /"a".*user\.x/],
    ['an attribute with an impossible name', 'FILE_INVALID', [{ path: 'a', xattrs: { 'user=x': bytes('') } }], '"a"'],
    [
      'attributes past the limit',
      'LIMIT_EXCEEDED',
      [{ path: 'a', xattrs: { 'user.x': new Uint8Array(2 ** 20) } }],
      /"a".*paxBytes/,
    ],
    [
      'a stream past the limit whose size is unknown',
      'LIMIT_EXCEEDED',
      [{ path: 'a', body: inChunks(pattern(1001), [100]) }],
      /"a".*bufferedBytes.*size/,
      { limits: { bufferedBytes: 1000 } },
    ],
    [
      'more files than the limit',
      'LIMIT_EXCEEDED',
      [{ path: 'a' }, { path: 'b' }, { path: 'c' }],
      'tarEntries',
      { limits: { tarEntries: 2 } },
    ],
    ['a body that is no source of bytes', 'ARGUMENT_INVALID', [{ path: 'a', body: 42 }], '"a"'],
    ['a body that was transferred', 'ARGUMENT_INVALID', [{ path: 'a', body: transferred() }], '"a"'],
    [
      'a body that was transferred, and empty by its size',
      'ARGUMENT_INVALID',
      [{ path: 'a', size: 0, body: transferred() }],
      '"a"',
    ],
    ['a body that gives no bytes', 'ARGUMENT_INVALID', [{ path: 'a', size: 5, body: ['hello'] }], '"a"'],
    ['something that is no file', 'FILE_INVALID', [null], /null/],
    ['a path instead of a file', 'FILE_INVALID', ['a'], /"?a"?/],
    ['an unknown compression', 'ARGUMENT_INVALID', [], 'lz4', { compression: 'lz4' as 'gzip' }],
    ['an unknown level', 'ARGUMENT_INVALID', [{ path: 'a' }], /level/, { compression: 'gzip', gzip: { level: 10 } }],
    ['an unknown number of workers, before any file', 'ARGUMENT_INVALID', [], /workers/, { gzip: { workers: 1e6 } }],
    ['a time of the layer that is none', 'ARGUMENT_INVALID', [], /time/i, { mtime: Number.NaN }],
  ];

  for (const [what, code, files, named, options] of cases) {
    test(what, async () => {
      const storage = new MemoryStorage();
      const call = createLayer(files as LayerFile[], { ...plain, store: blobStore(storage), ...options });
      const error = await failureOf(call);
      expect(error.code).toBe(code);
      if (typeof named === 'string') expect(error.message).toContain(named);
      else expect(error.message).toMatch(named);
      expect(await paths(storage)).toEqual([]);
    });
  }

  test('a stream that was read before', async () => {
    const body = new Response('hello').body as ReadableStream<Uint8Array>;
    await readBytes(body);
    for (const size of [undefined, 5]) {
      const error = await failureOf(createLayer([{ path: 'some/file', body, size }], plain));
      expect(error.code).toBe('BODY_CONSUMED');
      expect(error.message).toContain('some/file');
    }
  });

  test('a body whose source fails, with the error of the source', async () => {
    const storage = new MemoryStorage();
    const error = new Error('the disk is gone');
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield pattern(100_000);
      throw error;
    };
    for (const size of [undefined, 300_000]) {
      for (const compression of ['none', 'gzip'] as const) {
        const layer = createLayer([{ path: 'a', body: body(), size }], { store: blobStore(storage), compression });
        await expect(layer).rejects.toBe(error);
      }
    }
    expect(await paths(storage)).toEqual([]);
  });

  test('a stream of unknown size is taken up to the limit', async () => {
    const body = pattern(1000);
    const limits = { bufferedBytes: 1000 };
    const layer = await createLayer([{ path: 'a', body: inChunks(body, [300]) }], { ...plain, limits });
    expect(layer.diffId).toBe((await createLayer([{ path: 'a', body }], plain)).diffId);
    // What says its size, or is in memory, has no such limit.
    await createLayer([{ path: 'a', body: inChunks(pattern(5000), [300]), size: 5000 }], { ...plain, limits });
    await createLayer([{ path: 'a', body: new Blob([pattern(5000) as Uint8Array<ArrayBuffer>]) }], {
      ...plain,
      limits,
    });
  });
});

describe('items of nanotar', () => {
  test('from parseTar are taken as they are', async () => {
    const tar = createTar([
      { name: 'bin/' },
      { name: 'bin/run', data: '#!/bin/sh\n', attrs: { mode: '755', mtime: 1_700_000_000_000, uid: 0, gid: 0 } },
      { name: 'empty', data: '', attrs: { mtime: 0, uid: 0, gid: 0 } },
    ]);
    const headers = await headersOf(await createLayer(parseTar(tar), plain));
    expect(headers).toMatchObject([
      { path: 'bin', type: 'directory', mode: 0o775 },
      { path: 'bin/run', type: 'file', mode: 0o755, size: 10, mtime: 1_700_000_000 },
      { path: 'empty', type: 'file', mode: 0o664, size: 0 },
    ]);
  });

  test('as createTar takes them give the same files', async () => {
    const headers = await headersOf(
      await createLayer(
        [
          { name: 'run', data: bytes('x'), attrs: { mode: '0000755', mtime: 1_700_000_000_500 } },
          { name: 'directory' },
          { path: 'ours', body: 'y' },
        ],
        plain,
      ),
    );
    expect(headers).toMatchObject([
      { path: 'directory', type: 'directory', mode: 0o755 },
      { path: 'ours', type: 'file', size: 1 },
      { path: 'run', type: 'file', mode: 0o755, mtime: 1_700_000_000, uid: 0 },
    ]);
  });

  test('that nanotar cannot describe, or that are wrong, are refused by name', async () => {
    const base = { name: 'odd/one', size: 0, text: '', attrs: {} };
    for (const item of [
      { ...base, type: 'symbolicLink' as const },
      { ...base, type: 'hardLink' as const },
      { ...base, type: 'blockDevice' as const },
      { ...base, type: 'file' as const, attrs: { mode: 'rw-r--r--' } },
      { ...base, type: 'file' as const, attrs: { uid: Number.NaN } },
    ]) {
      const error = await failureOf(createLayer([item], plain));
      expect(error.code).toBe('FILE_INVALID');
      expect(error.message).toContain('odd/one');
    }
    expect((await failureOf(createLayer([{ ...base, name: '../x', type: 'file' }], plain))).code).toBe('PATH_INVALID');
  });
});

describe('an aborted signal', () => {
  test('ends packing within one chunk, with everything released and nothing stored', async () => {
    for (const compression of ['none', 'gzip'] as const) {
      for (const size of [undefined, 64 * 2 ** 20]) {
        const storage = new MemoryStorage();
        const reason = new Error('enough');
        const controller = new AbortController();
        let [given, released] = [0, 0];
        const body = new ReadableStream<Uint8Array>(
          {
            pull(stream) {
              stream.enqueue(new Uint8Array(65536));
              if (++given === 5) controller.abort(reason);
            },
            cancel: () => void released++,
          },
          { highWaterMark: 0 },
        );
        const layer = createLayer([{ path: 'a', body, size }], {
          compression,
          store: blobStore(storage),
          signal: controller.signal,
        });
        await expect(layer).rejects.toBe(reason);
        expect(given).toBeLessThanOrEqual(6);
        expect(released).toBe(1);
        expect(await paths(storage)).toEqual([]);
      }
    }
  });

  test('ends the listing of files, and a body that hangs', async () => {
    const reason = new Error('enough');
    const endless = async function* (): AsyncGenerator<LayerFile> {
      for (let index = 0; ; index++) {
        if (index === 1000) controller.abort(reason);
        yield { path: `${index}` };
      }
    };
    let controller = new AbortController();
    await expect(createLayer(endless(), { ...plain, signal: controller.signal })).rejects.toBe(reason);
    controller = new AbortController();
    const hanging = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
    setTimeout(() => controller.abort(reason), 5);
    const layer = createLayer([{ path: 'a', body: hanging, size: 5 }], { ...plain, signal: controller.signal });
    await expect(layer).rejects.toBe(reason);
    await expect(createLayer([], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

async function headersOf(layer: Layer): Promise<TarHeader[]> {
  const headers: TarHeader[] = [];
  for await (const { header } of layer.entries()) headers.push(header);
  return headers;
}

function link(path: string, type: 'symlink' | 'hardlink', linkTarget: string): LayerFile {
  return { path, type, linkTarget };
}

/** The bytes cut into chunks of these sizes, again and again. */
async function* inChunks(content: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let index = 0; at < content.length; index++) {
    const size = sizes.length > 0 ? (sizes[index % sizes.length] as number) : content.length;
    yield content.subarray(at, at + size);
    at += size;
  }
}

function hex(path: string): string {
  return Array.from(bytes(path), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** What is left of bytes whose buffer went to somebody else. */
function transferred(): Uint8Array {
  const bytes = new Uint8Array(5);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}
