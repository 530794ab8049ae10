import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { diff, diffLayer, flatten, Image, type Layer, squash, type TarHeader } from '../../src/index.ts';
import { type RawEntry, rawLayer } from '../layer/raw-layer.ts';
import { imageOf, plainLayer, randomPath, randomTree, unreadable, view } from './trees.ts';

/** Layers as no well-behaved builder writes them: whiteouts of what is there or not, before and behind files of the same name. */
const randomRawLayer: fc.Arbitrary<RawEntry[]> = fc.array(
  fc.oneof(
    randomPath.map((path) => ({ path, content: `of ${path}` })),
    fc.tuple(randomPath, fc.constantFrom(0o755, 0o700)).map(([path, mode]) => ({ path: `${path}/`, mode })),
    randomPath.map((path) => path.replace(/[^/]+$/, '.wh.$&')),
    randomPath.map((path) => `${path}/.wh..wh..opq`),
    fc.tuple(randomPath, randomPath).map(([path, linkTarget]) => ({ path, type: 'hardlink' as const, linkTarget })),
  ),
  { maxLength: 6 },
);

/** Entries one after another, those left out that no engine could apply. */
async function randomStack(drawn: RawEntry[][]): Promise<Image> {
  const layers: Layer[] = [];
  for (const entries of drawn) {
    let kept = entries;
    for (;;) {
      const layer = await rawLayer(kept);
      const isSound = await view({ layers: [...layers, layer] }).then(
        () => true,
        () => false,
      );
      if (isSound) {
        layers.push(layer);
        break;
      }
      kept = kept.filter((entry) => typeof entry === 'string' || entry.type !== 'hardlink');
    }
  }
  return imageOf(...layers);
}

describe('the difference of two images', () => {
  test('applied to the first gives the second, whatever the trees', async () => {
    await fc.assert(
      fc.asyncProperty(randomTree, randomTree, async (one, other) => {
        const before = imageOf(await plainLayer(one));
        const after = imageOf(await plainLayer(other));
        const patched = before.append(await diffLayer(before, after, { compression: 'none' }));
        expect(await view(patched)).toEqual(await view(after));
      }),
      { numRuns: 1000 },
    );
  });

  test('lists exactly the names that differ', async () => {
    await fc.assert(
      fc.asyncProperty(randomTree, randomTree, async (one, other) => {
        const [before, after] = [imageOf(await plainLayer(one)), imageOf(await plainLayer(other))];
        const [was, is, found] = [await view(before), await view(after), await diff(before, after)];
        expect(found.added.map(({ path }) => path)).toEqual(Object.keys(is).filter((path) => !(path in was)));
        expect(found.removed.map(({ path }) => path)).toEqual(Object.keys(was).filter((path) => !(path in is)));
        const differing = Object.keys(is).filter((path) => path in was && said(was[path]) !== said(is[path]));
        const changed = new Set(found.changed.map(({ path }) => path));
        expect(differing.filter((path) => !changed.has(path))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('is empty for an image and itself, and for the same files in other layers', async () => {
    const files = [
      { path: 'etc/one', body: 'one' },
      { path: 'etc/two', body: 'two' },
      { path: 'etc/three', type: 'hardlink', linkTarget: 'etc/one' },
    ] as const;
    const whole = imageOf(await plainLayer([...files]));
    const apart = imageOf(await plainLayer([files[1]]), await plainLayer([files[0], files[2]]));
    for (const [before, after] of [
      [whole, whole],
      [whole, apart],
      [apart, whole],
    ] as const) {
      expect(await diff(before, after)).toEqual({ added: [], changed: [], removed: [] });
      const entries: unknown[] = [];
      for await (const { header } of (await diffLayer(before, after)).entries()) entries.push(header);
      expect(entries).toEqual([]);
    }
  });

  test('tells headers of both sides, and passes over times when asked to', async () => {
    const before = imageOf(
      await plainLayer([
        { path: 'a', body: '1', mtime: 1 },
        { path: 'gone/x', body: '' },
      ]),
    );
    const after = imageOf(
      await plainLayer([
        { path: 'a', body: '1', mtime: 2 },
        { path: 'new', mode: 0o600 },
      ]),
    );
    const found = await diff(before, after);
    expect(found.changed).toMatchObject([{ path: 'a', before: { mtime: 1 }, after: { mtime: 2 } }]);
    expect(found.added).toMatchObject([{ path: 'new', before: undefined, after: { mode: 0o600, path: 'new' } }]);
    expect(found.removed.map(({ path }) => path)).toEqual(['gone', 'gone/x']);
    expect((await diff(before, after, { times: false })).changed).toEqual([]);
  });

  test('whites out only the top of what is gone', async () => {
    const before = imageOf(await plainLayer([{ path: 'opt/app/bin/x' }, { path: 'opt/app/y' }, { path: 'opt/z' }]));
    const after = imageOf(await plainLayer([{ path: 'opt/z' }]));
    const paths: string[] = [];
    for await (const { header } of (await diffLayer(before, after)).entries()) paths.push(header.path);
    expect(paths).toEqual(['opt/.wh.app']);
  });

  test('makes two files of what were two names of one, and the other way round', async () => {
    const linked = imageOf(
      await plainLayer([
        { path: 'a', body: 'x' },
        { path: 'b', type: 'hardlink', linkTarget: 'a' },
      ]),
    );
    const apart = imageOf(
      await plainLayer([
        { path: 'a', body: 'x' },
        { path: 'b', body: 'x' },
      ]),
    );
    expect((await diff(linked, apart)).changed.map(({ path }) => path)).toEqual(['b']);
    expect(await view(linked.append(await diffLayer(linked, apart)))).toEqual(await view(apart));
    expect(await view(apart.append(await diffLayer(apart, linked)))).toEqual(await view(linked));
  });

  test('carries what only headers say: owners by name, nanoseconds, attributes, devices', async () => {
    const header = { uname: 'build', gname: 'build', nanoseconds: 123_456_789, mtime: 5 };
    const capability = Uint8Array.of(1, 0, 0, 2, 0xff, 0x80);
    const after = imageOf(
      await rawLayer([
        { path: 'bin/ping', content: 'p', ...header, xattrs: { 'security.capability': capability } },
        { path: 'dev/null', type: 'character-device', device: { major: 1, minor: 3 }, ...header },
      ]),
    );
    const headers = new Map<string, TarHeader>();
    for await (const entry of (await diffLayer(Image.scratch(), after)).entries())
      headers.set(entry.header.path, entry.header);
    expect(headers.get('bin/ping')).toMatchObject(header);
    expect(headers.get('bin/ping')?.xattrs?.['security.capability']).toEqual(capability);
    expect(headers.get('dev/null')).toMatchObject({ ...header, device: { major: 1, minor: 3 } });
  });

  test('ends with the reason of an aborted signal', async () => {
    const image = imageOf(await plainLayer([{ path: 'a', body: 'x' }]));
    const reason = new Error('enough');
    await expect(diff(Image.scratch(), image, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(diffLayer(Image.scratch(), image, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('a squashed image', () => {
  test('shows what it showed before, from whichever layer up', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(randomRawLayer, { minLength: 1, maxLength: 4 }), fc.nat(3), async (drawn, at) => {
        const image = await randomStack(drawn);
        const from = at % image.layers.length;
        const squashed = await squash(image, { from, compression: 'none' });
        expect(squashed.layers.length).toBe(from + 1);
        expect(squashed.layers.slice(0, from)).toEqual(image.layers.slice(0, from));
        expect(await view(squashed)).toEqual(await view(image));
        const flat = await flatten(image, { compression: 'none' });
        expect(await view(flat)).toEqual(await view(image));
        expectTrue(squashed);
        expectTrue(flat);
      }),
      { numRuns: 300 },
    );
  });

  test('has one layer, says what was done, and keeps the steps that made none', async () => {
    const two = imageOf(await plainLayer([{ path: 'a', body: '1' }]), await plainLayer([{ path: 'b' }])).label(
      'k',
      'v',
    );
    const squashed = await squash(two);
    expect(squashed.layers.length).toBe(1);
    expect(squashed.config.history?.map((entry) => !entry.empty_layer)).toEqual([false, false, false, true]);
    expect(squashed.config.history?.at(-1)?.created_by).toBe('squash of 2 layers');
    expect(squashed.config.config).toEqual(two.config.config);
    expect((await flatten(two)).config.history?.length).toBe(1);
  });

  test('keeps whiteouts for what lies below, and holds none where nothing does', async () => {
    const image = imageOf(
      await plainLayer([{ path: 'etc/old', body: 'secret' }, { path: 'etc/kept' }]),
      await rawLayer(['etc/.wh.old', { path: 'tmp/scratch', content: 'x' }]),
      await rawLayer(['tmp/.wh.scratch', 'etc/new']),
    );
    expect(await paths((await squash(image, { from: 1 })).layers[1]!)).toEqual(['etc/.wh.old', 'tmp', 'etc/new']);
    expect(await paths((await squash(image)).layers[0]!)).toEqual(['etc', 'tmp', 'etc/kept', 'etc/new']);
  });

  test('gives a link its content where the file that it names is gone', async () => {
    const image = imageOf(
      await plainLayer([{ path: 'a', body: 'content' }]),
      await rawLayer([{ path: 'b', type: 'hardlink', linkTarget: 'a' }]),
      await rawLayer(['.wh.a']),
    );
    expect(Object.values(await view(await squash(image)))).toMatchObject([{ type: 'file', content: 'content' }]);
    expect(await view(await squash(image, { from: 1 }))).toEqual(await view(image));
  });

  test('is the image itself where there is one layer to squash, and says which layers there are', async () => {
    const image = imageOf(await plainLayer([{ path: 'a' }]), await plainLayer([{ path: 'b' }]));
    expect(await squash(image, { from: -1 })).toBe(image);
    expect(await squash(Image.scratch())).toMatchObject({ layers: [] });
    await expect(squash(image, { from: 2 })).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
  });

  test('reads no layer whose contents are all overwritten a second time', async () => {
    const base = await plainLayer([{ path: 'a', body: 'old' }]);
    let reads = 0;
    const open: Layer['open'] = (options) => {
      reads++;
      return base.open(options);
    };
    await squash(imageOf({ ...base, open }, await plainLayer([{ path: 'a', body: 'new' }])));
    expect(reads).toBe(1);
  });

  test('refuses non-distributable layers', async () => {
    const layer = unreadable(await plainLayer([{ path: 'a' }]));
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
    const foreign = { ...layer, descriptor: { ...layer.descriptor, mediaType } };
    await expect(flatten(imageOf(foreign))).rejects.toMatchObject({ code: 'MEDIA_TYPE_UNSUPPORTED' });
  });
});

function said(value: unknown): string {
  const { first: _, ...rest } = value as { first: string };
  return JSON.stringify(rest);
}

function expectTrue(image: Image): void {
  expect(image.config.rootfs.diff_ids).toEqual(image.layers.map(({ diffId }) => diffId));
  expect(image.config.history?.filter((entry) => !entry.empty_layer).length).toBe(image.layers.length);
}

async function paths(layer: Layer): Promise<string[]> {
  const found: string[] = [];
  for await (const { header } of layer.entries()) found.push(header.path);
  return found;
}
