import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { blobStore } from '../../src/content/blob-store.ts';
import { normalizeEntryPath, readWhiteout } from '../../src/layer/changeset.ts';
import type { Layer } from '../../src/layer/layer.ts';
import { layerFrom } from '../../src/layer/layer.ts';
import type { MergedTree } from '../../src/layer/merged-tree.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { mergeLayers, type RawEntry, rawLayer } from './raw-layer.ts';

describe('a name in a layer', () => {
  test('is a whiteout by its prefix alone', () => {
    expect(readWhiteout('etc/.wh.motd')).toEqual({ kind: 'whiteout', path: 'etc/motd' });
    expect(readWhiteout('.wh.etc')).toEqual({ kind: 'whiteout', path: 'etc' });
    expect(readWhiteout('etc/.wh..wh..opq')).toEqual({ kind: 'opaque', path: 'etc' });
    expect(readWhiteout('.wh..wh..opq')).toEqual({ kind: 'opaque', path: '' });
    expect(readWhiteout('etc/.wh..hidden')).toEqual({ kind: 'whiteout', path: 'etc/.hidden' });
    expect(readWhiteout('etc/a.wh.b')).toBeUndefined();
    expect(readWhiteout('.wh.a/b')).toBeUndefined();
  });

  test('that whites out nothing, or a directory itself, is refused', () => {
    for (const path of ['.wh.', 'etc/.wh.', 'etc/.wh..', 'etc/.wh...']) {
      expect(() => readWhiteout(path)).toThrow(expect.objectContaining({ code: 'PATH_INVALID' }));
    }
  });

  test('means the same with a leading ./ or /', () => {
    for (const path of ['a/b', './a/b', '/a/b', '//a//b', 'a/./b', './/a/b/', 'a/b/.']) {
      expect(normalizeEntryPath(path)).toBe('a/b');
    }
    for (const path of ['.', './', '/']) expect(normalizeEntryPath(path)).toBe('');
    expect(normalizeEntryPath('..a/.b')).toBe('..a/.b');
  });

  test('is refused with .. in it, by layer, entry and offset', async () => {
    for (const path of ['../etc', 'a/../b', '/..', 'a/..']) {
      const layer = await rawLayer(['fine', { path }]);
      const fault = { code: 'PATH_INVALID', details: { entry: path, offset: 512 } };
      await expect(mergeLayers([layer])).rejects.toMatchObject(fault);
      await expect(mergeLayers([layer])).rejects.toThrow(layer.descriptor.digest);
    }
    await expect(mergeLayers([await rawLayer(['a/.wh.'])])).rejects.toMatchObject({ code: 'PATH_INVALID' });
  });
});

describe('the merged view', () => {
  test('shows the file of the uppermost layer, in the order of paths', async () => {
    const tree = await merge([[text('b', 'old'), text('a/x', '1')], [text('b', 'new!')]]);
    expect(names(tree)).toEqual(['a/', 'a/x', 'b']);
    expect(tree.get('b')!.file).toMatchObject({ layer: 1, offset: 0, header: { size: 4 } });
    expect(tree.get('a/x')!.file).toMatchObject({ layer: 0, offset: 1024 });
  });

  test('applies whiteouts to lower layers only, wherever they stand in their own', async () => {
    const base = ['file1', 'a/', 'a/file2', 'b/', 'c/', 'c/file3'];
    expect(names(await merge([base, ['.wh.file1', 'a/', 'a/.wh.file2', '.wh.b', 'file4']]))).toEqual([
      'a/',
      'c/',
      'c/file3',
      'file4',
    ]);
    for (const layer of [
      ['.wh.file1', text('file1', 'again')],
      [text('file1', 'again'), '.wh.file1'],
    ]) {
      const tree = await merge([base, layer]);
      expect(tree.get('file1')!.file).toMatchObject({ layer: 1, header: { size: 5 } });
    }
    expect(names(await merge([base, ['a/', 'a/new', '.wh.a']]))).toContain('a/new');
    expect(names(await merge([base, ['a/', 'a/new', '.wh.a']]))).not.toContain('a/file2');
  });

  test('hides all of a directory behind an opaque whiteout, in either order, as the specification shows', async () => {
    const base = ['a/', 'a/b/', 'a/b/c/', 'a/b/c/bar', 'z'];
    const wanted = ['a/', 'a/b/', 'a/b/c/', 'a/b/c/foo', 'z'];
    expect(names(await merge([base, ['a/', 'a/.wh..wh..opq', 'a/b/', 'a/b/c/', 'a/b/c/foo']]))).toEqual(wanted);
    expect(names(await merge([base, ['a/', 'a/b/', 'a/b/c/', 'a/b/c/foo', 'a/.wh..wh..opq']]))).toEqual(wanted);
    expect(names(await merge([base, ['.wh..wh..opq', 'only']]))).toEqual(['only']);
  });

  test('lets whiteouts of what is not there pass', async () => {
    const layer = ['.wh.none', 'no/where/.wh.x', 'gone/.wh..wh..opq', 'a/.wh.b/', '.wh..wh.plnk/', '.wh..wh.plnk/12.3'];
    const warnings: string[] = [];
    const tree = await mergeLayers([await rawLayer(['a']), await rawLayer(layer)], {
      onWarning: (message) => warnings.push(message),
    });
    expect(names(tree)).toEqual(['a']);
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toMatch('12.3');
  });

  test('takes a directory from above with the children from below, and with neither where a file came between', async () => {
    const base = [{ path: 'd/', mode: 0o700 }, 'd/old'];
    const merged = await merge([base, [{ path: 'd/', mode: 0o711, uid: 7 }, 'd/new']]);
    expect(names(merged)).toEqual(['d/', 'd/new', 'd/old']);
    expect(merged.get('d')!.file.header).toMatchObject({ mode: 0o711, uid: 7 });
    expect(names(await merge([base, ['d'], ['d/', 'd/new']]))).toEqual(['d/', 'd/new']);
    expect(names(await merge([base, ['d', 'd/', 'd/new']]))).toEqual(['d/', 'd/new']);
    expect(names(await merge([base, ['d/', 'd/new', 'd']]))).toEqual(['d']);
    expect(names(await merge([base, ['d/old/deep']]))).toEqual(['d/', 'd/old/', 'd/old/deep']);
  });

  test('takes the last of two entries of one name', async () => {
    const tree = await merge([[text('a', '1'), text('./a', '22'), text('/a', '333')]]);
    expect(tree.get('a')!.file).toMatchObject({ offset: 2048, header: { size: 3 } });
  });

  test('knows a hard link and its target, of whatever layer, as one file', async () => {
    const base = [text('a', 'one'), link('b', './a'), 'd/', text('d/x', 'x')];
    const tree = await merge([base, [link('c', '/a'), link('e', 'd/x')], ['.wh.a', '.wh.d']]);
    expect(names(tree)).toEqual(['b', 'c', 'e']);
    expect(tree.get('b')!.file).toBe(tree.get('c')!.file);
    expect(tree.get('c')!.file).toMatchObject({ layer: 0, offset: 0, header: { type: 'file', size: 3 } });
    expect(tree.get('e')!.file.header.path).toBe('d/x');
    // A target that the same layer whites out, or replaces later, was there when an engine made the link.
    for (const layer of [
      [link('c', 'a'), '.wh.a'],
      ['.wh.a', link('c', 'a')],
      [link('c', 'a'), text('a', 'other')],
    ]) {
      expect((await merge([base, layer])).get('c')!.file).toMatchObject({ layer: 0, offset: 0 });
    }
    expect((await merge([base, ['.wh.d', link('c', 'd/x')]])).get('c')!.file).toMatchObject({ layer: 0, offset: 2048 });
  });

  test('refuses a hard link to nothing or to a directory', async () => {
    for (const entries of [[link('a', 'none')], ['d/', link('a', 'd')], [link('a', 'a')]]) {
      const layer = await rawLayer(entries);
      await expect(mergeLayers([layer])).rejects.toMatchObject({ code: 'LINK_INVALID', details: { entry: 'a' } });
    }
    await expect(mergeLayers([await rawLayer(['x', link('a', '../x')])])).rejects.toMatchObject({
      code: 'PATH_INVALID',
      details: { entry: 'a', offset: 512 },
    });
  });

  test('puts what lies below a symlink where the link points, but never outside', async () => {
    const base = [
      'usr/',
      'usr/lib/',
      symlink('lib', 'usr/lib'),
      symlink('out', '../../../up'),
      symlink('abs', '/usr/lib'),
    ];
    const tree = await merge([base, ['lib/a', 'abs/b', 'out/c']]);
    expect(names(tree)).toEqual(['abs', 'lib', 'out', 'up/', 'up/c', 'usr/', 'usr/lib/', 'usr/lib/a', 'usr/lib/b']);
    expect(names(await merge([base, ['usr/lib/x'], ['lib/.wh.x']]))).not.toContain('usr/lib/x');
    // A directory's own entry takes the link's place.
    const replaced = await merge([base, ['usr/lib/x'], ['lib/.wh.x', 'lib/', 'lib/y']]);
    expect(names(replaced)).toEqual(['abs', 'lib/', 'lib/y', 'out', 'usr/', 'usr/lib/', 'usr/lib/x']);
  });

  test('refuses entries below symlinks in a circle', async () => {
    const layer = await rawLayer([symlink('a', 'b'), symlink('b', 'a'), 'a/x']);
    await expect(mergeLayers([layer])).rejects.toMatchObject({
      code: 'LINK_LOOP',
      details: { entry: 'a/x', offset: 1024 },
    });
  });

  test('resolves paths through symlinks, and .. no further than the root', async () => {
    const tree = await merge([
      ['a/', 'a/b/', 'a/b/f', symlink('l', 'a/b'), symlink('a/up', '../..'), symlink('x', 'none')],
    ]);
    expect(tree.resolve('l/f', true)?.path).toBe('a/b/f');
    expect(tree.resolve('/l/../b/f', true)?.path).toBe('a/b/f');
    expect(tree.resolve('../../a/up/l/f', true)?.path).toBe('a/b/f');
    expect(tree.resolve('l', false)?.path).toBe('l');
    expect(tree.resolve('l', true)?.path).toBe('a/b');
    expect(tree.resolve('x', true)).toBeUndefined();
    expect(tree.resolve('a/b/f/g', true)).toBeUndefined();
    expect(tree.resolve('/', true)?.path).toBe('');
  });

  test('passes over a non-distributable layer that is absent, with a warning, and over no other', async () => {
    const absent = (mediaType: string): Layer => {
      const digest = digestOf(new Uint8Array([1]));
      return layerFrom(blobStore(new MemoryStorage()), { mediaType, digest, size: 1 }, digest);
    };
    const warnings: string[] = [];
    const layers = [absent(mediaTypes.docker.foreignLayer), await rawLayer(['a'])];
    const tree = await mergeLayers(layers, { onWarning: (message) => warnings.push(message) });
    expect(names(tree)).toEqual(['a']);
    expect(tree.get('a')!.file.layer).toBe(1);
    expect(warnings.length).toBe(1);
    await expect(mergeLayers([absent(mediaTypes.layerGzip)])).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });

  test('is bounded: entries, depth of paths, and the memory of the index', async () => {
    const layer = await rawLayer(['a/b/c', 'd']);
    const refuse = (limits: object, limit: string): Promise<void> =>
      expect(mergeLayers([layer], { limits })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit } });
    await refuse({ tarEntries: 1 }, 'tarEntries');
    await refuse({ pathDepth: 2 }, 'pathDepth');
    await refuse({ indexBytes: 500 }, 'indexBytes');
    await refuse({ indexBytes: 1000 }, 'indexBytes');
  });

  test('equals what a naive model gives, for any changesets', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(anyEntry, { maxLength: 8 }), { minLength: 1, maxLength: 4 }),
        async (layers) => {
          const model = new Model();
          let broken = false;
          try {
            for (const [number, layer] of layers.entries()) model.apply(layer, number);
          } catch {
            broken = true;
          }
          const merging = merge(layers);
          if (broken) return void (await expect(merging).rejects.toMatchObject({ name: 'StowageError' }));
          const tree = await merging;
          const seen = [...tree].map(({ path, node: { file } }) => [
            path,
            file.layer < 0 ? 'implied' : `${file.header.type} ${file.layer}@${file.offset}`,
          ]);
          expect(Object.fromEntries(seen)).toEqual(model.describe());
        },
      ),
      { numRuns: 1000 },
    );
  });
});

/** A file system as a flat map from paths without symlinks, slow and plain. */
class Model {
  files = new Map<string, { type: string; target: string; origin: string }>();

  apply(layer: readonly RawEntry[], number: number): void {
    const entries = layer.map((entry) => (typeof entry === 'string' ? { path: entry } : entry));
    const made = new Set(entries.filter(({ path }) => path.endsWith('/')).map(({ path }) => path.slice(0, -1)));
    const before = new Map(this.files);
    for (const { path } of entries) {
      const at = path.lastIndexOf('/') + 1;
      if (!path.startsWith('.wh.', at) || path.endsWith('/')) continue;
      const parent = this.real(path.slice(0, at), made);
      if (parent === undefined) continue;
      if (path.slice(at) === '.wh..wh..opq') this.removeBelow(parent);
      else this.remove(join(parent, path.slice(at + 4)));
    }
    // What whiteouts hide may still be linked to; what entries of this layer replace may not.
    const hidden = new Map([...before].filter(([path]) => !this.files.has(path)));
    let offset = 0;
    for (const entry of entries) {
      const path = entry.path.replace(/\/$/, '');
      const at = path.lastIndexOf('/') + 1;
      if (!path.startsWith('.wh.', at)) {
        const parent = this.real(path.slice(0, at), new Set())!;
        for (let end = parent.indexOf('/'); parent !== ''; end = parent.indexOf('/', end + 1)) {
          const directory = end === -1 ? parent : parent.slice(0, end);
          if (this.files.get(directory)?.type !== 'directory') {
            this.files.set(directory, { type: 'directory', target: '', origin: 'implied' });
          }
          if (end === -1) break;
        }
        const full = join(parent, path.slice(at));
        const type = entry.path.endsWith('/') ? 'directory' : 'type' in entry ? entry.type! : 'file';
        const target = 'linkTarget' in entry ? entry.linkTarget! : '';
        if (type === 'hardlink') {
          const named = this.target(target, this.files) ?? this.target(target, hidden);
          if (named === undefined || named.type === 'directory') throw new Error('link');
          this.remove(full);
          this.files.set(full, named);
        } else {
          if (type !== 'directory' || this.files.get(full)?.type !== 'directory') this.remove(full);
          this.files.set(full, { type, target, origin: `${type} ${number}@${offset}` });
        }
      }
      offset += 512 + ('content' in entry && entry.content ? 512 : 0);
    }
  }

  describe(): Record<string, string> {
    return Object.fromEntries([...this.files].map(([path, { origin }]) => [path, origin]));
  }

  private target(path: string, files: Model['files']): ReturnType<Model['files']['get']> {
    const at = path.lastIndexOf('/') + 1;
    const parent = files === this.files ? this.real(path.slice(0, at), new Set()) : path.slice(0, Math.max(0, at - 1));
    return files.get(join(parent!, path.slice(at)));
  }

  private real(path: string, made: Set<string>): string | undefined {
    let left = path.split('/').filter((part) => part !== '');
    let at: string[] = [];
    for (let hops = 0; left.length > 0; ) {
      const [name, ...rest] = left as [string, ...string[]];
      left = rest;
      if (name === '..') at.pop();
      else at.push(name);
      const file = this.files.get(at.join('/'));
      if (name === '..' || file?.type !== 'symlink' || made.has(at.join('/'))) continue;
      if (++hops > 40) throw new Error('loop');
      at = file.target.startsWith('/') ? [] : at.slice(0, -1);
      left = [...file.target.split('/').filter((part) => part !== ''), ...left];
    }
    return at.join('/');
  }

  private remove(path: string): void {
    this.files.delete(path);
    this.removeBelow(path);
  }

  private removeBelow(path: string): void {
    const prefix = path === '' ? '' : `${path}/`;
    for (const known of [...this.files.keys()]) if (known.startsWith(prefix)) this.files.delete(known);
  }
}

const anyName = fc.constantFrom('a', 'b', 'c');
const anyPath = fc.array(anyName, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
const inside = (name: string): fc.Arbitrary<string> =>
  fc.array(anyName, { maxLength: 2 }).map((parts) => [...parts, name].join('/'));
const anyEntry: fc.Arbitrary<RawEntry> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ path: anyPath, content: fc.constantFrom('', 'x') }) },
  { weight: 4, arbitrary: anyPath.map((path) => `${path}/`) },
  { weight: 2, arbitrary: anyName.chain((name) => inside(`.wh.${name}`)) },
  { weight: 1, arbitrary: inside('.wh..wh..opq') },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        anyPath,
        fc.oneof(
          anyPath,
          anyPath.map((path) => `/${path}`),
          anyPath.map((path) => `../${path}`),
        ),
      )
      .map(([path, target]) => symlink(path, target)),
  },
  { weight: 1, arbitrary: fc.tuple(anyPath, anyPath).map(([path, target]) => link(path, target)) },
);

async function merge(layers: readonly (readonly RawEntry[])[]): Promise<MergedTree> {
  return mergeLayers(await Promise.all(layers.map((layer) => rawLayer(layer))));
}

function names(tree: MergedTree): string[] {
  return [...tree].map(({ path, node }) => (node.children ? `${path}/` : path));
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}

function text(path: string, content: string): RawEntry {
  return { path, content };
}

function link(path: string, linkTarget: string): RawEntry {
  return { path, type: 'hardlink', linkTarget };
}

function symlink(path: string, linkTarget: string): RawEntry {
  return { path, type: 'symlink', linkTarget };
}
