import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Progress } from '../../src/bytes/progress.ts';
import { StowageError } from '../../src/errors.ts';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import type { Layer } from '../../src/layer/layer.ts';
import { directory, extract } from '../../src/node/index.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { hasPeer } from '../peers/debian.ts';
import { run } from '../peers/peers.ts';
import { bytesOf, encode, entry } from '../tar/archives.ts';
import { fifo, file, folder, hardlink, layerOf, symlink } from './layers.ts';

const isRoot = process.getuid?.() === 0;
let place: string;
let target: string;

beforeEach(() => {
  place = realpathSync(mkdtempSync(join(tmpdir(), 'extract-')));
  target = join(place, 'target');
});
afterEach(() => rmSync(place, { recursive: true }));

describe('extract', () => {
  test('unpacks an image: files, directories, symlinks, hard links, modes and times, whatever the umask', async () => {
    const image = await Image.scratch().addLayer([
      { path: 'bin/run', body: '#!/bin/sh\n', mode: 0o4755, mtime: 1e9 },
      { path: 'bin/sh', type: 'symlink', linkTarget: 'run', mtime: 5 },
      { path: 'bin/again', type: 'hardlink', linkTarget: 'bin/run' },
      { path: 'tmp', type: 'directory', mode: 0o1777, mtime: 86_400 },
      { path: 'tmp/inside', body: 'x', mode: 0o666, mtime: -86_400 },
    ]);
    const umask = process.umask(0o077);
    try {
      await extract(image, pathToFileURL(target));
    } finally {
      process.umask(umask);
    }
    const found = (path: string): [string, number] => {
      const { mode, mtimeMs } = lstatSync(join(target, path));
      return [(mode & 0o7777).toString(8), mtimeMs / 1000];
    };
    expect(found('bin/run')).toEqual(['4755', 1e9]);
    expect(found('tmp')).toEqual(['1777', 86_400]);
    expect(found('tmp/inside')).toEqual(['666', -86_400]);
    expect(found('bin')).toEqual(['755', 0]);
    expect(found('.')).toEqual(['755', 0]);
    expect(lstatSync(join(target, 'bin/sh')).mtimeMs).toBe(5000);
    expect(readlinkSync(join(target, 'bin/sh'))).toBe('run');
    expect(lstatSync(join(target, 'bin/again')).ino).toBe(lstatSync(join(target, 'bin/run')).ino);
    expect(readdirSync(place)).toEqual(['target']);
  });

  test('keeps times to the microsecond', async () => {
    const layer = await layerOf([
      file('a', 'a', { mtime: 1_700_000_000, nanoseconds: 123_456_789 }),
      folder('d', { mtime: 1_700_000_000, nanoseconds: 1000 }),
    ]);
    await extract([layer], target);
    expect(lstatSync(join(target, 'a'), { bigint: true }).mtimeNs / 1000n).toBe(1_700_000_000_123_456n);
    expect(lstatSync(join(target, 'd'), { bigint: true }).mtimeNs / 1000n).toBe(1_700_000_000_000_001n);
  });

  test('applies whiteouts to lower layers only, wherever in their layer they stand', async () => {
    const layers = await Promise.all([
      layerOf([file('gone'), file('d/lower'), file('d/both', 'old'), file('e/lower'), file('f/lower')]),
      layerOf([
        file('d/both', 'new'),
        file('d/.wh..wh..opq', ''),
        file('e/upper'),
        file('.wh.e', ''),
        file('.wh.gone', ''),
        file('gone-too'),
        file('.wh.gone-too', ''),
        file('.wh.never-there', ''),
        file('.wh.f', ''),
        file('f', 'now a file'),
      ]),
    ]);
    await extract(layers, target);
    expect(names(target)).toEqual(['d', 'd/both', 'e', 'e/upper', 'f', 'gone-too']);
    expect(readFileSync(join(target, 'd/both'), 'utf8')).toBe('new');
    expect(readdirSync(place)).toEqual(['target']);
  });

  test('makes hard links to what a whiteout of the same layer removes, in either order', async () => {
    const base = await layerOf([file('old/a', 'a'), file('b', 'b'), file('c', 'c'), fifo('p')]);
    const upper = await layerOf([
      file('.wh.old', ''),
      hardlink('a', 'old/a'),
      hardlink('b2', 'b'),
      file('.wh.b', ''),
      file('.wh.p', ''),
      hardlink('p2', 'p'),
    ]);
    await extract([base, upper], target);
    expect(names(target)).toEqual(['a', 'b2', 'c', 'p2']);
    expect(lstatSync(join(target, 'p2')).isFIFO()).toBe(true);
  });

  test('puts entries below a symlink of a lower layer where it points, within the directory', async () => {
    const layers = await Promise.all([
      layerOf([folder('usr/lib'), symlink('lib', 'usr/lib'), symlink('abs', '/usr/lib')]),
      layerOf([file('lib/x'), file('abs/y'), hardlink('lib/z', 'abs/y')]),
    ]);
    await extract(layers, target);
    expect(names(target)).toEqual(['abs', 'lib', 'usr', 'usr/lib', 'usr/lib/x', 'usr/lib/y', 'usr/lib/z']);
  });

  test.skipIf(process.platform !== 'linux')('keeps the bytes of names that are not UTF-8', async () => {
    await extract([await layerOf([file('d\udcff/f\udce9'), symlink('l', 'd\udcff')])], target);
    const [name] = readdirSync(target, { encoding: 'buffer' });
    expect([...name!]).toEqual([0x64, 0xff]);
    expect([...readlinkSync(join(target, 'l'), { encoding: 'buffer' })]).toEqual([0x64, 0xff]);
  });

  test('extracts to an empty directory, to one behind a symlink, and refuses one that holds something', async () => {
    const layer = await layerOf([file('f')]);
    mkdirSync(target);
    await extract([layer], target);
    expect(names(target)).toEqual(['f']);
    await expect(extract([layer], target)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
    mkdirSync(join(place, 'real'));
    symlinkSync('real', join(place, 'link'));
    await extract([layer], join(place, 'link'));
    expect(names(join(place, 'real'))).toEqual(['f']);
    expect(lstatSync(join(place, 'link')).isSymbolicLink()).toBe(true);
    symlinkSync('nowhere', join(place, 'broken'));
    writeFileSync(join(place, 'file'), '');
    for (const wrong of ['broken', 'file']) {
      await expect(extract([layer], join(place, wrong))).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
    }
    await expect(extract([layer], join(place, 'no/such'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(readdirSync(place).sort()).toEqual(['broken', 'file', 'link', 'real', 'target']);
  });

  test('applies layers to what is there, where asked to, through its symlinks but not out of it', async () => {
    mkdirSync(join(target, 'kept/deep'), { recursive: true });
    mkdirSync(join(target, 'emptied'));
    mkdirSync(join(place, 'outside'));
    writeFileSync(join(place, 'outside/secret'), 'secret');
    writeFileSync(join(target, 'kept/deep/f'), 'f');
    writeFileSync(join(target, 'emptied/f'), 'f');
    writeFileSync(join(target, 'replaced'), 'old');
    chmodSync(join(target, 'kept'), 0o710);
    symlinkSync('kept', join(target, 'in'));
    symlinkSync('../outside', join(target, 'out'));
    const layer = await layerOf([
      file('replaced', 'new'),
      file('emptied/.wh..wh..opq', ''),
      file('in/new'),
      file('out/secret', 'x'),
      file('.wh.nothing', ''),
    ]);
    await extract([layer], target, { merge: true });
    expect(names(target)).toEqual([
      'emptied',
      'in',
      'kept',
      'kept/deep',
      'kept/deep/f',
      'kept/new',
      'out',
      'outside',
      'outside/secret',
      'replaced',
    ]);
    expect(readFileSync(join(target, 'replaced'), 'utf8')).toBe('new');
    expect(readFileSync(join(place, 'outside/secret'), 'utf8')).toBe('secret');
    expect(lstatSync(join(target, 'kept')).mode & 0o777).toBe(0o710);
  });

  test('an aborted signal rejects with its reason and leaves nothing', async () => {
    const controller = new AbortController();
    const layer = await layerOf(Array.from({ length: 50 }, (_, n) => file(`d/${n}`)));
    const reason = new Error('enough');
    const onProgress = ({ path }: Progress): void => {
      if (path === 'd/20') controller.abort(reason);
    };
    await expect(extract([layer], target, { signal: controller.signal, onProgress })).rejects.toBe(reason);
    expect(readdirSync(place)).toEqual([]);
    await expect(extract([layer], target, { signal: controller.signal })).rejects.toBe(reason);
    expect(readdirSync(place)).toEqual([]);
  });

  test('what a caller throws from onProgress comes out as it is, and nothing stays', async () => {
    const thrown = new Error('mine');
    const onProgress = (): void => {
      throw thrown;
    };
    await expect(extract([await layerOf([file('f')])], target, { onProgress })).rejects.toBe(thrown);
    expect(readdirSync(place)).toEqual([]);
  });

  test('an error names layer, entry and offset, and says how to go on', async () => {
    const layer = await layerOf([file('first'), hardlink('second', 'missing')]);
    const error = await extract([layer], target).catch((error_: unknown) => error_);
    expect(error).toBeInstanceOf(StowageError);
    expect(error).toMatchObject({ code: 'LINK_INVALID', details: { entry: 'second', offset: 1024 } });
    expect(String(error)).toContain(`layer ${layer.descriptor.digest}: entry "second" at byte 1024`);
  });

  test('a layer that is not what its diff ID says is refused, and nothing stays', async () => {
    const layer = await layerOf([file('f')]);
    const refusal = extract([{ ...layer, diffId: `sha256:${'0'.repeat(64)}` }], target);
    await expect(refusal).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(readdirSync(place)).toEqual([]);
  });

  test('a non-distributable layer that is not held is passed over with a warning', async () => {
    const layer = await layerOf([file('f')]);
    const descriptor = { ...layer.descriptor, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' };
    const open = async (): Promise<never> => {
      throw new StowageError('BLOB_NOT_FOUND', 'not here', { digest: descriptor.digest });
    };
    const foreign: Layer = { ...layer, descriptor, open };
    const warnings: string[] = [];
    await extract([foreign, await layerOf([file('g')])], target, { onWarning: (text) => warnings.push(text) });
    expect(names(target)).toEqual(['g']);
    expect(warnings).toEqual([expect.stringContaining('non-distributable')]);
    await expect(extract([{ ...layer, open }], join(place, 'other'))).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    expect(mediaTypes.layer).not.toBe(descriptor.mediaType);
  });

  test('leaves devices and extended attributes out with a warning where asked to', async () => {
    const device = entry('null', { type: 'character-device', device: { major: 1, minor: 3 } });
    const layer = await layerOf([
      device,
      hardlink('again', 'null'),
      file('f', 'f', { xattrs: { 'user.a': bytesOf('x') } }),
    ]);
    const warnings: string[] = [];
    const onWarning = (text: string): number => warnings.push(text);
    await extract([layer], target, { devices: false, xattrs: false, onWarning });
    expect(names(target)).toEqual(['f']);
    expect(warnings).toEqual([expect.stringContaining('2 of them, such as "null"')]);
  });

  test('extracts without the programs that set extended attributes, and says so; reading them cannot be without', async () => {
    const layer = await layerOf([file('f', 'f', { xattrs: { 'user.a': bytesOf('x') } })]);
    const warnings: string[] = [];
    const { PATH } = process.env;
    process.env.PATH = place;
    try {
      await extract([layer], target, { onWarning: (text) => warnings.push(text) });
      const files = directory(target, { xattrs: true });
      await expect(createLayer(files)).rejects.toMatchObject({ code: 'RUNTIME_UNSUPPORTED' });
    } finally {
      process.env.PATH = PATH;
    }
    expect(names(target)).toEqual(['f']);
    expect(warnings).toEqual([expect.stringContaining('setfattr could not be started')]);
  });

  test.skipIf(!isRoot)('gives files to this process where owners are not asked for', async () => {
    await extract([await layerOf([file('f', 'f', { uid: 1234, gid: 5678 })])], target, { owners: false });
    expect(lstatSync(join(target, 'f'))).toMatchObject({ uid: 0, gid: 0 });
    await extract([await layerOf([file('f', 'f', { uid: 1234, gid: 5678 })])], join(place, 'other'));
    expect(lstatSync(join(place, 'other/f'))).toMatchObject({ uid: 1234, gid: 5678 });
  });

  test.skipIf(!isRoot || process.platform !== 'linux')('does its work for an ordinary user too', async () => {
    const closed = [folder('closed', { mode: 0 }), file('closed/f', 'f', { mode: 0o444, uid: 7 }), fifo('p')];
    const attributed = file('x', 'x', {
      mode: 0o400,
      xattrs: { 'user.a': bytesOf('x'), 'security.capability': bytesOf('y') },
    });
    writeFileSync(join(place, 'layer'), encode(...closed, attributed));
    mkdirSync(join(place, 'home'));
    chmodSync(place, 0o755);
    chmodSync(join(place, 'home'), 0o777);
    const warnings: string[] = [];
    const layer = await layerOf([...closed, attributed]);
    const { setegid, seteuid } = process;
    setegid!.call(process, 65534);
    seteuid!.call(process, 65534);
    try {
      const options = { owners: false, onWarning: (text: string) => warnings.push(text) };
      await extract([layer], join(place, 'home/target'), options);
      const broken = await layerOf([...closed, hardlink('h', 'missing')]);
      await expect(extract([broken], join(place, 'home/broken'), options)).rejects.toMatchObject({
        code: 'LINK_INVALID',
      });
    } finally {
      seteuid!.call(process, 0);
      setegid!.call(process, 0);
    }
    expect(readdirSync(join(place, 'home'))).toEqual(['target']);
    expect(names(join(place, 'home/target'))).toEqual(['closed', 'closed/f', 'p', 'x']);
    expect(lstatSync(join(place, 'home/target/closed')).mode & 0o777).toBe(0);
    expect(lstatSync(join(place, 'home/target/x')).mode & 0o777).toBe(0o400);
    expect(warnings).toEqual([expect.stringContaining('security.capability')]);
    if (hasPeer('setfattr')) {
      const { stdout } = await run('getfattr', ['-d', '--absolute-names', join(place, 'home/target/x')]);
      expect(stdout).toContain('user.a="x"');
    }
  });
});

/** All paths below a directory, links not followed. */
function names(directory: string): string[] {
  const found: string[] = [];
  const visit = (path: string, shown: string): void => {
    for (const name of readdirSync(path)) {
      found.push(shown + name);
      if (lstatSync(join(path, name)).isDirectory()) visit(join(path, name), `${shown}${name}/`);
    }
  };
  visit(directory, '');
  return found.sort();
}
