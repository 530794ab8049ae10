/** Layers that try to reach out of the directory they are unpacked to: none touches anything outside. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ErrorCode, StowageError } from '../../src/errors.ts';
import { type ExtractOptions, extract } from '../../src/node/index.ts';
import type { TarSource } from '../../src/tar/write-tar.ts';
import { hasPeer } from '../peers/debian.ts';
import { run } from '../peers/peers.ts';
import { bytesOf, encode, entry, rawHeader } from '../tar/archives.ts';
import { fifo, file, folder, hardlink, layerOf, symlink } from './layers.ts';

/** What stands around the target: `outside` holds what must not be touched, `place` the target. */
let around: string;
let outside: string;
let place: string;
let target: string;

beforeAll(() => {
  around = realpathSync(mkdtempSync(join(tmpdir(), 'canary-')));
  outside = join(around, 'outside');
  place = join(around, 'place');
  target = join(place, 'target');
  mkdirSync(join(outside, 'full/deep'), { recursive: true });
  mkdirSync(join(outside, 'empty'));
  mkdirSync(place);
  for (const name of ['secret', 'full/one', 'full/deep/two']) writeFileSync(join(outside, name), `${name}\n`);
  symlinkSync('secret', join(outside, 'link'));
  chmodSync(join(outside, 'secret'), 0o600);
  chmodSync(join(outside, 'empty'), 0o700);
  for (const name of ['secret', 'full/one', 'full', 'empty', '.']) utimesSync(join(outside, name), 1e9, 1e9);
});
afterAll(() => rmSync(around, { recursive: true }));

type Archive = readonly TarSource[] | Uint8Array;

interface Attempt {
  /** The layers, from the base up. */
  layers: () => readonly Archive[];
  /** Why it is refused, or what the target holds then: paths, directories with a slash, links with their target, files with their text. */
  gives: ErrorCode | readonly string[];
  options?: ExtractOptions;
}

const attempts: Record<string, Attempt> = {
  'a path that begins with ..': { layers: () => [[file('../escaped')]], gives: 'PATH_INVALID' },
  'a path that leads out by ..': { layers: () => [[file('a/../../escaped')]], gives: 'PATH_INVALID' },
  'a path that leads out by ./..': { layers: () => [[file('./../escaped')]], gives: 'PATH_INVALID' },
  'a path that ends in ..': { layers: () => [[folder('a'), folder('a/..', { mode: 0 })]], gives: 'PATH_INVALID' },
  'the directory ..': { layers: () => [[folder('..', { mode: 0 })]], gives: 'PATH_INVALID' },
  'a path to the stage beside the target': { layers: () => [[file('../.target.part/x')]], gives: 'PATH_INVALID' },
  'an absolute path': { layers: () => [[file('/etc/x', 'x')]], gives: ['etc/', 'etc/x: x'] },
  'an absolute path to what is outside': {
    layers: () => [[file(join(outside, 'secret'), 'x')]],
    gives: ['…/', '…/outside/', '…/outside/secret: x'],
  },
  'a path that begins with two slashes': { layers: () => [[file('//x', 'x')]], gives: ['x: x'] },
  'a path with backslashes and ..': { layers: () => [[file('..\\escaped', 'x')]], gives: ['..\\escaped: x'] },
  'a path with a drive': { layers: () => [[file('C:/x', 'x')]], gives: ['C:/', 'C:/x: x'] },
  'a path of nothing': { layers: () => [rawHeader({ name: '' })], gives: 'PATH_INVALID' },
  'a path with a NUL': {
    layers: () => [join512(pax('path=a\0b'), rawHeader({ name: 'f' }))],
    gives: 'TAR_INVALID',
  },
  'a file through an absolute symlink': {
    layers: () => [[symlink('l', '/outside'), file('l/x', 'x')]],
    gives: ['l -> /outside', 'outside/', 'outside/x: x'],
  },
  'a file through a symlink to the real outside': {
    layers: () => [[symlink('l', outside), file('l/secret', 'x')]],
    gives: ['…/', '…/outside/', '…/outside/secret: x', 'l -> …/outside'],
  },
  'a file through a symlink with ..': {
    layers: () => [[symlink('l', '../outside'), file('l/secret', 'x')]],
    gives: ['l -> ../outside', 'outside/', 'outside/secret: x'],
  },
  'a file through a chain of symlinks': {
    layers: () => [[symlink('a', 'b'), symlink('b', '../../outside'), file('a/secret', 'x')]],
    gives: ['a -> b', 'b -> ../../outside', 'outside/', 'outside/secret: x'],
  },
  'a file through .. again and again': {
    layers: () => [[symlink('l', '..'), file('l/l/l/outside/secret', 'x')]],
    gives: ['l -> ..', 'outside/', 'outside/secret: x'],
  },
  'a file through a symlink below a symlink': {
    layers: () => [[folder('d'), symlink('d/up', '../..'), symlink('in', 'd'), file('in/up/outside/secret', 'x')]],
    gives: ['d/', 'd/up -> ../..', 'in -> d', 'outside/', 'outside/secret: x'],
  },
  'a file through a symlink of a lower layer': {
    layers: () => [[symlink('l', '../outside')], [file('l/secret', 'x')]],
    gives: ['l -> ../outside', 'outside/', 'outside/secret: x'],
  },
  'a file in the place of a symlink': {
    layers: () => [[symlink('l', join(outside, 'secret')), file('l', 'x', { mode: 0o777 })]],
    gives: ['l: x'],
  },
  'a directory in the place of a symlink': {
    layers: () => [[symlink('l', join(outside, 'empty')), folder('l', { mode: 0o777 }), file('l/x', 'x')]],
    gives: ['l/', 'l/x: x'],
  },
  'a symlink in the place of a directory, then a file through it': {
    layers: () => [[folder('d')], [symlink('d', '../outside/full'), file('d/one', 'x')]],
    gives: ['d -> ../outside/full', 'outside/', 'outside/full/', 'outside/full/one: x'],
  },
  'a symlink in the place of a parent that was just used': {
    layers: () => [[file('d/x', 'x'), symlink('d', '../outside/full'), file('d/one', 'y')]],
    gives: ['d -> ../outside/full', 'outside/', 'outside/full/', 'outside/full/one: y'],
  },
  'a symlink and a directory by turns': {
    layers: () => [[symlink('d', outside), folder('d'), symlink('d', outside), folder('d'), file('d/secret', 'x')]],
    gives: ['d/', 'd/secret: x'],
  },
  'a symlink with a mode, an owner and a time of its own': {
    layers: () => [[symlink('l', join(outside, 'secret'), { mode: 0o4777, uid: 1, gid: 1, mtime: 5 })]],
    gives: ['l -> …/outside/secret'],
  },
  'a symlink with extended attributes': {
    layers: () => [[symlink('l', join(outside, 'secret'), { xattrs: { 'user.evil': bytesOf('x') } })]],
    gives: ['l -> …/outside/secret'],
  },
  'a name that looks like a dump of extended attributes': {
    layers: () => [
      [
        file(`a\n\n# file: ${outside.slice(1)}/secret`.replaceAll('/', '/'), 'x', {
          xattrs: { 'user.a': bytesOf('x') },
        }),
      ],
    ],
    gives: ['a\n\n# file: …/', 'a\n\n# file: …/outside/', 'a\n\n# file: …/outside/secret: x'],
  },
  'an extended attribute whose name holds a line': {
    layers: () => [
      join512(
        pax(`SCHILY.xattr.user.a\n\n# file: ${outside}/secret\nuser.evil=x`),
        rawHeader({ name: 'f', size: '0' }),
      ),
    ],
    gives: ['f: '],
  },
  'a fifo whose name looks like an option': {
    layers: () => [[fifo('--mode=777'), fifo('a\nb')]],
    gives: ['--mode=777|', 'a\nb|'],
  },
  'symlinks in a circle': { layers: () => [[symlink('a', 'b'), symlink('b', 'a'), file('a/x')]], gives: 'LINK_LOOP' },
  'a symlink to itself': { layers: () => [[symlink('a', 'a'), file('a/x')]], gives: 'LINK_LOOP' },
  'symlinks that double at each step': {
    layers: () => [
      [
        ...Array.from({ length: 39 }, (_, n) => symlink(`l${n}`, `l${n + 1}/l${n + 1}`)),
        symlink('l39', '.'),
        file('l0/x'),
      ],
    ],
    gives: 'LINK_LOOP',
  },
  'symlinks that make a path deeper than it says': {
    layers: () => [[symlink('a', 'd/'.repeat(200)), file(`a/${'e/'.repeat(200)}x`)]],
    gives: 'LIMIT_EXCEEDED',
  },
  'a hard link to what is outside, by an absolute path': {
    layers: () => [[hardlink('h', join(outside, 'secret'))]],
    gives: 'LINK_INVALID',
  },
  'a hard link to what is outside, by ..': {
    layers: () => [[hardlink('h', '../../outside/secret')]],
    gives: 'PATH_INVALID',
  },
  'a hard link through a symlink': {
    layers: () => [[symlink('l', outside), hardlink('h', 'l/secret')]],
    gives: 'LINK_INVALID',
  },
  'a hard link through a symlink of a lower layer': {
    layers: () => [[symlink('l', '../../outside')], [hardlink('h', 'l/secret')]],
    gives: 'LINK_INVALID',
  },
  'a hard link to a symlink, then a file of its name': {
    layers: () => [[symlink('l', join(outside, 'secret')), hardlink('h', 'l'), file('h', 'x', { mode: 0o777 })]],
    gives: ['h: x', 'l -> …/outside/secret'],
  },
  'a hard link to a symlink, then a file through it': {
    layers: () => [[symlink('l', '../outside'), hardlink('h', 'l'), file('h/secret', 'x')]],
    gives: ['h -> ../outside', 'l -> ../outside', 'outside/', 'outside/secret: x'],
  },
  'a hard link made through a symlink': {
    layers: () => [[file('f', 'x'), symlink('l', '../outside'), hardlink('l/secret', 'f')]],
    gives: ['f: x', 'l -> ../outside', 'outside/', 'outside/secret: x'],
  },
  'a hard link, then a file of the first name': {
    layers: () => [[file('f', 'old'), hardlink('h', 'f')], [file('f', 'new')]],
    gives: ['f: new', 'h: old'],
  },
  'a hard link to a directory': { layers: () => [[folder('d'), hardlink('h', 'd')]], gives: 'LINK_INVALID' },
  'a hard link to the root': { layers: () => [[hardlink('h', '/')]], gives: 'LINK_INVALID' },
  'a hard link to itself': { layers: () => [[hardlink('h', 'h')]], gives: 'LINK_INVALID' },
  'a hard link to what is below it': {
    layers: () => [[file('d/f', 'x')], [hardlink('d', 'd/f')]],
    gives: ['d: x'],
  },
  'a whiteout of ..': { layers: () => [[file('d/.wh...')]], gives: 'PATH_INVALID' },
  'a whiteout of .': { layers: () => [[file('d/.wh..')]], gives: 'PATH_INVALID' },
  'a whiteout of nothing': { layers: () => [[file('.wh.')]], gives: 'PATH_INVALID' },
  'a whiteout beyond ..': { layers: () => [[file('../.wh.outside')]], gives: 'PATH_INVALID' },
  'a whiteout through a symlink': {
    layers: () => [[symlink('l', '../outside')], [file('l/.wh.secret')]],
    gives: ['l -> ../outside'],
  },
  'a whiteout through a symlink to the real outside': {
    layers: () => [[symlink('l', outside)], [file('l/.wh.full')]],
    gives: ['l -> …/outside'],
  },
  'an opaque directory through a symlink': {
    layers: () => [[symlink('l', outside)], [file('l/.wh..wh..opq')]],
    gives: ['l -> …/outside'],
  },
  'a whiteout of a symlink to a directory': {
    layers: () => [[symlink('l', join(outside, 'full')), file('kept', 'x')], [file('.wh.l')]],
    gives: ['kept: x'],
  },
  'an opaque directory that holds symlinks': {
    layers: () => [
      [symlink('d/l', join(outside, 'full')), file('d/f')],
      [folder('d'), file('d/.wh..wh..opq')],
    ],
    gives: ['d/'],
  },
  'a whiteout of all there is': {
    layers: () => [[symlink('l', outside), file('a/b/c'), fifo('p')], [file('.wh..wh..opq')]],
    gives: [],
  },
  'a whiteout that is a symlink': {
    layers: () => [[file('f')], [symlink('.wh.f', join(outside, 'secret'))]],
    gives: [],
  },
  'files in a directory that is called like a whiteout': {
    layers: () => [[file('.wh.d/secret'), file('f', 'x')]],
    gives: ['f: x'],
  },
  'a root that is a symlink': {
    layers: () => [[symlink('.', outside), file('secret', 'x')]],
    gives: ['secret: x'],
  },
  'a root that is a file': { layers: () => [[file('.', ''), file('f', 'x')]], gives: ['f: x'] },
  'a file in the place of a fifo': { layers: () => [[fifo('p'), file('p', 'x')]], gives: ['p: x'] },
  'a file below a fifo': { layers: () => [[fifo('p'), file('p/f', 'x')]], gives: ['p/', 'p/f: x'] },
  'a file in the place of a device': {
    layers: () => [[entry('null', { type: 'character-device', device: { major: 1, minor: 3 } }), file('null', 'x')]],
    gives: ['null: x'],
  },
  'a file below a file': { layers: () => [[file('f'), file('f/x', 'x')]], gives: ['f/', 'f/x: x'] },
  'a file below a file of a lower layer': {
    layers: () => [[file('f')], [file('f/x', 'x')]],
    gives: ['f/', 'f/x: x'],
  },
  'a file of the same path many times': {
    layers: () => [[file('f', '1'), symlink('f', outside), file('f', '2'), folder('f'), file('f', '3')]],
    gives: ['f: 3'],
  },
  'a directory without rights, then a file in it': {
    layers: () => [[folder('d', { mode: 0 }), file('d/f', 'x')]],
    gives: ['d/', 'd/f: x'],
  },
  'a path deeper than the limit': {
    layers: () => [[file(`${'d/'.repeat(300)}x`)]],
    gives: 'LIMIT_EXCEEDED',
  },
  'a path longer than the limit': {
    layers: () => [[file(`${'d'.repeat(250)}/`.repeat(17).slice(0, -1))]],
    gives: 'LIMIT_EXCEEDED',
  },
  'a name longer than the file system takes': {
    layers: () => [[file('kept'), file('n'.repeat(300))]],
    gives: 'STORAGE_FAILED',
  },
  'a symlink target longer than the limit': {
    layers: () => [[symlink('l', 't'.repeat(5000))]],
    gives: 'LIMIT_EXCEEDED',
  },
  'more entries than the limit, in all layers': {
    layers: () => [
      [file('a'), file('b')],
      [file('c'), file('d')],
    ],
    gives: 'LIMIT_EXCEEDED',
    options: { limits: { tarEntries: 3 } },
  },
  'more bytes than the limit, in all layers': {
    layers: () => [[file('a', 'x'.repeat(600))], [file('b', 'x'.repeat(600))]],
    gives: 'LIMIT_EXCEEDED',
    options: { limits: { inflatedBytes: 1000 } },
  },
  'more names than may be held': {
    layers: () => [Array.from({ length: 100 }, (_, n) => file(`f${n}`))],
    gives: 'LIMIT_EXCEEDED',
    options: { limits: { indexBytes: 10_000 } },
  },
  'an end amid a body': {
    layers: () => [[file('a')], encode(file('b', 'x'.repeat(2000))).subarray(0, 1500)],
    gives: 'TAR_TRUNCATED',
  },
};

describe('nothing outside the target is touched by', () => {
  test.each(Object.entries(attempts))('%s', async (_, { layers, gives, options }) => {
    const before = await listing(around, place);
    const stack = await Promise.all(layers().map(layerOf));
    const refusal = await extract(stack, target, options).then(
      () => undefined,
      (error: unknown) => error,
    );
    const made = existsSync(target) ? contents(target) : undefined;
    rmSync(target, { recursive: true, force: true });
    expect(await listing(around, place)).toEqual(before);
    expect(readdirSync(place)).toEqual([]);
    if (typeof gives === 'string') {
      expect(refusal).toMatchObject({ name: 'StowageError', code: gives });
      expect(String(refusal)).toMatch(/layer|layers/);
      expect(made).toBe(undefined);
    } else {
      expect(refusal).toBe(undefined);
      expect(made).toEqual([...gives].sort());
    }
  });

  test('a layer whose blob is not what its digest says, found out at its end', async () => {
    const before = await listing(around, place);
    const other = await layerOf([file('b')]);
    const open = async (): Promise<ReadableStream<Uint8Array>> => {
      const stream = await other.open();
      const reader = stream.getReader();
      return new ReadableStream({
        async pull(controller) {
          const { done, value } = await reader.read();
          if (done)
            controller.error(new StowageError('DIGEST_MISMATCH', `${other.descriptor.digest} is something else`));
          else controller.enqueue(value);
        },
      });
    };
    await expect(extract([{ ...other, open }], target)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(readdirSync(place)).toEqual([]);
    expect(await listing(around, place)).toEqual(before);
  });
});

/** All that is there but for what the target's directory holds: names, types, modes, times, owners, contents. */
async function listing(directory: string, except: string): Promise<string[]> {
  const lines: string[] = [];
  const visit = (path: string): void => {
    const found = lstatSync(path, { bigint: true });
    const { mode, mtimeNs, ctimeNs, uid, gid, nlink } = found;
    if (path === except) return;
    lines.push(`${path} ${mode.toString(8)} ${uid}:${gid} ${nlink} ${mtimeNs} ${ctimeNs} ${contentOf(path)}`);
    if (found.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
  };
  visit(directory);
  if (hasPeer('setfattr')) {
    lines.push((await run('getfattr', ['-R', '-h', '-d', '-m', '-', '--absolute-names', outside])).stdout);
  }
  return lines;
}

function contentOf(path: string): string {
  const found = lstatSync(path);
  if (found.isSymbolicLink()) return readlinkSync(path);
  return found.isFile() ? readFileSync(path, 'utf8') : '';
}

/** In the form of `Attempt.gives`, what lies above `outside` in one place cut to `…`. */
function contents(directory: string): string[] {
  const lines: string[] = [];
  const visit = (path: string, shown: string): void => {
    for (const name of readdirSync(path).sort()) {
      const at = join(path, name);
      const below = `${shown}${name}`;
      const found = lstatSync(at);
      if (found.isSymbolicLink()) lines.push(`${below} -> ${readlinkSync(at)}`);
      else if (found.isDirectory()) lines.push(`${below}/`);
      else lines.push(found.isFile() ? `${below}: ${readFileSync(at, 'utf8')}` : `${below}|`);
      if (found.isDirectory()) visit(at, `${below}/`);
    }
  };
  visit(directory, '');
  const relative = around.slice(1);
  const parents = relative.split('/').slice(0, -1);
  return lines
    .map((line) => line.replaceAll(around, '…').replaceAll(relative, '…'))
    .filter((line) => !parents.some((_, index) => line.endsWith(`${parents.slice(0, index + 1).join('/')}/`)))
    .sort();
}

/** A PAX header of one record. */
function pax(record: string): Uint8Array {
  const length = record.length + 2 + String(record.length + 4).length;
  const body = bytesOf(`${length} ${record}\n`);
  return join512(rawHeader({ name: 'pax', type: 'x', size: body.length.toString(8) }), body);
}

/** Joined, each padded to whole blocks. */
function join512(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts.map((part) => Buffer.concat([part, Buffer.alloc((512 - (part.length % 512)) % 512)])));
}
