/** GNU tar, bsdtar and nanotar judge what we write, and we read what they write. */
import {
  closeSync,
  createReadStream,
  ftruncateSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join as joinPath } from 'node:path';
import { createTar, parseTar } from 'nanotar';
import { describe, expect, test } from 'vitest';
import { TarEncoder } from '../../src/tar/encoder.ts';
import type { EntryType, TarHeader } from '../../src/tar/entry.ts';
import { readTar } from '../../src/tar/read-tar.ts';
import type { TarSource } from '../../src/tar/write-tar.ts';
import type { Need } from '../peers/debian.ts';
import { peerTest, run, temporaryDirectory } from '../peers/peers.ts';
import { bytesOf, decode, encode, entry, latin1, type ReadEntry } from './archives.ts';

const longName = `${'d'.repeat(150)}/${'é'.repeat(75)}/n`;
const longTarget = `${'t'.repeat(150)}/${'target'.repeat(25)}`;

/** One entry of every type, named so that every format can say it. */
const plain: TarSource[] = [
  entry('dir', { type: 'directory', mode: 0o1755, mtime: 1_000_000_000 }),
  entry('dir/block', { type: 'block-device', mode: 0o660, device: { major: 8, minor: 1 }, mtime: 1_000_000_000 }),
  entry('dir/character', {
    type: 'character-device',
    mode: 0o666,
    device: { major: 1, minor: 3 },
    mtime: 1_000_000_000,
  }),
  entry('dir/empty', { mode: 0o600, mtime: 0 }),
  entry('dir/fifo', { type: 'fifo', mode: 0o644, mtime: 1_000_000_000 }),
  entry('dir/file', {
    mode: 0o4755,
    uid: 1000,
    gid: 2000,
    mtime: 1_700_000_000,
    body: bytesOf('content\n'.repeat(1000)),
  }),
  entry('dir/link', { type: 'symlink', linkTarget: '../else where', mode: 0o777, mtime: 1_000_000_000 }),
];

const hardlink = entry('dir/name', {
  type: 'hardlink',
  linkTarget: 'dir/file',
  mode: 0o4755,
  uid: 1000,
  gid: 2000,
  mtime: 1_700_000_000,
});

/** What takes PAX records or GNU's own means to say. */
const special: TarSource[] = [
  entry('before', { mtime: -86_400, body: bytesOf('old') }),
  entry('far', { type: 'symlink', linkTarget: longTarget, mode: 0o777, mtime: 1_000_000_000 }),
  entry('many', { uid: 4_000_000, gid: 4_100_000, mtime: 1_000_000_000 }),
  entry('ünïcödé 😀', { mtime: 1_000_000_000, body: bytesOf('names') }),
  entry(longName, { mtime: 1_000_000_000, body: bytesOf('long') }),
];

describe('what peers write, we read', () => {
  for (const format of ['v7', 'oldgnu', 'gnu', 'ustar', 'posix']) {
    peerTest(['tar', 'root'], `GNU tar's ${format} format, every type that it has`, async () => {
      const [root, archive] = await tree([...plain, hardlink]);
      const special = format === 'v7' ? ['--exclude=dir/block', '--exclude=dir/character', '--exclude=dir/fifo'] : [];
      await run('tar', ['-C', root, `--format=${format}`, '--sort=name', ...special, '-cf', archive, 'dir']);
      expectTree(root, decode(readFileSync(archive)), special.length > 0 ? 5 : 8);
    });
  }

  for (const format of ['gnu', 'posix']) {
    peerTest(['tar', 'root'], `GNU tar's ${format} format: long, Unicode and negative`, async () => {
      const [root, archive] = await tree(special);
      await run('tar', ['-C', root, `--format=${format}`, '-cf', archive, ...readdirSync(root)]);
      expectTree(root, decode(readFileSync(archive)), 7);
    });
  }

  for (const format of ['ustar', 'pax', 'gnutar', 'v7']) {
    peerTest(['bsdtar', 'root'], `bsdtar's ${format} format, every type`, async () => {
      const [root, archive] = await tree(
        format === 'v7' ? plain.filter(({ type }) => type !== 'fifo') : [...plain, hardlink],
      );
      const special = format === 'v7' ? ['--exclude=dir/block', '--exclude=dir/character'] : [];
      await run('bsdtar', ['-C', root, `--format=${format}`, ...special, '-cf', archive, 'dir']);
      expectTree(root, decode(readFileSync(archive)), format === 'v7' ? 4 : 8);
    });
  }

  peerTest(['bsdtar', 'root'], "bsdtar's pax format: long, Unicode and negative", async () => {
    const [root, archive] = await tree(special);
    await run('bsdtar', ['-C', root, '--format=pax', '-cf', archive, ...readdirSync(root)]);
    expectTree(root, decode(readFileSync(archive)), 7);
  });

  peerTest(['tar', 'bsdtar'], 'names that are not UTF-8', async () => {
    const root = temporaryDirectory();
    writeFileSync(Buffer.from(latin1(`${root}/caf\xe9`)), 'x');
    const commands: [string, string[]][] = [
      ...['gnu', 'posix', 'ustar'].map((format): [string, string[]] => ['tar', [`--format=${format}`]]),
      ...['gnutar', 'pax', 'ustar'].map((format): [string, string[]] => ['bsdtar', [`--format=${format}`]]),
    ];
    for (const [index, [command, options]] of commands.entries()) {
      const archive = joinPath(temporaryDirectory(), `${index}.tar`);
      // The C locale takes names as bytes. What cannot be converted bsdtar stores as it is, and says so.
      await run(command, ['-C', root, ...options, '-cf', archive, '.'], { env: { LC_ALL: 'C' } });
      expect(decode(readFileSync(archive)).map(({ header }) => header.path)).toContain('./caf\udce9');
    }
  });

  peerTest(['tar', 'bsdtar', 'setfattr'], 'extended attributes with NUL bytes', async () => {
    const root = temporaryDirectory();
    writeFileSync(joinPath(root, 'f'), 'x');
    await run('setfattr', ['-n', 'user.bytes', '-v', '0sAAH/AA==', joinPath(root, 'f')]);
    await run('setfattr', ['-n', 'user.empty', joinPath(root, 'f')]);
    const xattrs = { 'user.bytes': latin1('\0\x01\xff\0'), 'user.empty': new Uint8Array(0) };
    for (const command of ['tar', 'bsdtar']) {
      const archive = joinPath(temporaryDirectory(), 'a.tar');
      const options = command === 'tar' ? ['--format=posix', '--xattrs'] : ['--format=pax', '--xattrs'];
      await run(command, ['-C', root, ...options, '-cf', archive, 'f']);
      expect(decode(readFileSync(archive))[0]!.header.xattrs).toEqual(xattrs);
    }
  });

  test('nanotar: plain files', () => {
    const items = [
      { name: 'a.txt', data: 'A' },
      { name: 'b/c', data: bytesOf('C'.repeat(1000)) },
    ];
    const read = decode(createTar(items, { attrs: { mtime: 7000, mode: '640', uid: 5, gid: 6 } }));
    expect(read.map(({ header, body }) => [header.path, header.mode, header.uid, header.gid, body])).toEqual([
      ['a.txt', 0o640, 5, 6, bytesOf('A')],
      ['b/c', 0o640, 5, 6, items[1]!.data],
    ]);
  });
});

describe('sparse files that peers write, we expand', () => {
  const size = 9 * 1024 ** 3;
  const places = [0, 1024 ** 2, 5 * 1024 ** 3, size - 5];
  const forms: [string, Need, string, string[]][] = [
    ['old GNU', 'tar', 'tar', ['--sparse', '--format=oldgnu']],
    ['GNU', 'tar', 'tar', ['--sparse', '--format=gnu']],
    ...['0.0', '0.1', '1.0'].map((version): [string, Need, string, string[]] => [
      `PAX ${version}`,
      'tar',
      'tar',
      ['--sparse', '--format=posix', `--sparse-version=${version}`],
    ]),
    ['bsdtar', 'bsdtar', 'bsdtar', ['--format=pax']],
  ];
  for (const [name, need, command, options] of forms) {
    peerTest([need], `9 GiB with four places of data, ${name}`, async () => {
      const [root, archive] = sparseTree(size, places);
      await run(command, ['-C', root, ...options, '-cf', archive, 'sparse']);
      expect(lstatSync(archive).size).toBeLessThan(1024 ** 2);
      expect(await readSparse(archive)).toEqual({ path: 'sparse', size, sparse: true, found: places });
    });

    peerTest([need], `200 places of data, ${name}`, async () => {
      const many = Array.from({ length: 200 }, (_, index) => index * 1024 ** 2 + 4096);
      const [root, archive] = sparseTree(201 * 1024 ** 2, many);
      await run(command, ['-C', root, ...options, '-cf', archive, 'sparse']);
      expect(await readSparse(archive)).toEqual({ path: 'sparse', size: 201 * 1024 ** 2, sparse: true, found: many });
    });
  }
});

describe('what we write, peers read', () => {
  for (const command of ['tar', 'bsdtar'] as const) {
    peerTest([command, 'root'], `${command} lists and extracts every type without a word`, async () => {
      const archive = joinPath(temporaryDirectory(), 'ours.tar');
      const sources = [...plain, hardlink, ...special];
      writeFileSync(archive, encode(...sources));
      expect((await run(command, ['-tvf', archive])).stderr).toBe('');
      expect((await run(command, ['-tf', archive], { env: { LC_ALL: 'C.UTF-8' } })).stdout.split('\n').length).toBe(
        sources.length + 1,
      );
      const root = temporaryDirectory();
      const { stderr } = await run(command, ['-C', root, '--numeric-owner', '-xpf', archive]);
      // GNU tar says so itself of times before the epoch, whoever wrote them.
      expect(stderr.replace(/^.*implausibly old time stamp.*\n/gm, '')).toBe('');
      expectTree(root, decode(encode(...sources)), sources.length);
    });

    peerTest([command], `${command} lists names that are not UTF-8 without a word`, async () => {
      const archive = joinPath(temporaryDirectory(), 'ours.tar');
      const long = `${'x'.repeat(80)}/${'y'.repeat(80)}\udcff`;
      writeFileSync(archive, encode(entry('caf\udce9'), entry(long)));
      expect(await run(command, ['-tf', archive])).toEqual({
        stdout: expect.stringContaining('caf\\351\n'),
        stderr: '',
      });
    });

    peerTest([command], `${command} lists 9 GiB and what follows`, async () => {
      const archive = joinPath(temporaryDirectory(), 'ours.tar');
      const size = 9 * 1024 ** 3;
      const zeros = new Uint8Array(64 * 1024 ** 2);
      const file = openSync(archive, 'w');
      let at = 0;
      const encoder = new TarEncoder((bytes) => {
        // The archive itself is sparse, so that no disk is filled.
        if (bytes.buffer !== zeros.buffer) writeSync(file, bytes, 0, bytes.length, at);
        at += bytes.length;
      });
      encoder.entry(entry('big', { size }));
      for (let left = size; left > 0; left -= zeros.length) encoder.write(zeros);
      encoder.entry(entry('next'));
      encoder.finish();
      closeSync(file);
      const { stdout, stderr } = await run(command, ['-tvf', archive]);
      expect(stderr).toBe('');
      expect(stdout).toMatch(/ 9663676416 .*big\n.*next\n/);
    });
  }

  const xattrs = { 'user.bytes': latin1('\0\x01\xff\0='), 'user.empty': new Uint8Array(0) };

  peerTest(['bsdtar'], 'bsdtar copies extended attributes with NUL bytes into an archive of its own', async () => {
    const archive = joinPath(temporaryDirectory(), 'ours.tar');
    writeFileSync(archive, encode(entry('f', { xattrs, mtime: 1, nanoseconds: 5_000_000 })));
    const theirs = joinPath(temporaryDirectory(), 'theirs.tar');
    const { stderr } = await run('bsdtar', ['--format=pax', '-cf', theirs, `@${archive}`]);
    expect(stderr).toBe('');
    expect(decode(readFileSync(theirs))[0]!.header).toMatchObject({ xattrs, mtime: 1, nanoseconds: 5_000_000 });
  });

  peerTest(['tar', 'setfattr'], 'GNU tar lists and extracts extended attributes with NUL bytes', async () => {
    const archive = joinPath(temporaryDirectory(), 'ours.tar');
    writeFileSync(archive, encode(entry('f', { xattrs })));
    const listed = await run('tar', ['--xattrs', '-tvvf', archive]);
    expect(listed.stdout).toMatch(/x: +5 user\.bytes/);
    expect(listed.stderr).toBe('');
    const root = temporaryDirectory();
    expect((await run('tar', ['-C', root, '--xattrs', '--xattrs-include=*', '-xf', archive])).stderr).toBe('');
    const { stdout } = await run('getfattr', ['-d', '-e', 'hex', joinPath(root, 'f')]);
    expect(stdout).toContain('user.bytes=0x0001ff003d');
    expect(stdout).toMatch(/^user\.empty(=.*)?$/m);
  });

  test('nanotar reads plain files', () => {
    const archive = encode(
      entry('a.txt', { body: bytesOf('A'), mtime: 7 }),
      entry('b/c', { body: bytesOf('C'.repeat(1000)) }),
    );
    const theirs = parseTar(archive).map(({ name, data, size }) => ({ name, data: new Uint8Array(data!), size }));
    const ours = decode(archive).map(({ header, body }) => ({ name: header.path, data: body, size: header.size }));
    expect(theirs).toEqual(ours);
  });
});

/** Makes the entries on disk; returns the directory, and a path for an archive beside it. */
async function tree(sources: readonly TarSource[]): Promise<[root: string, archive: string]> {
  const root = temporaryDirectory();
  for (const source of sources) {
    const path = joinPath(root, source.path);
    mkdirSync(dirname(path), { recursive: true });
    if (source.type === 'directory') mkdirSync(path);
    else if (source.type === 'file') writeFileSync(path, (source.body as Uint8Array | undefined) ?? '');
    else if (source.type === 'symlink') symlinkSync(source.linkTarget!, path);
    else if (source.type === 'hardlink') linkSync(joinPath(root, source.linkTarget!), path);
    else if (source.type === 'fifo') await run('mknod', [path, 'p']);
    else {
      const letter = source.type === 'block-device' ? 'b' : 'c';
      await run('mknod', [path, letter, String(source.device!.major), String(source.device!.minor)]);
    }
    await run('chown', ['-h', `${source.uid}:${source.gid}`, path]);
    if (source.type !== 'symlink') await run('chmod', [source.mode.toString(8), path]);
  }
  for (const { path, mtime, type } of [...sources].reverse()) {
    (type === 'symlink' ? lutimesSync : utimesSync)(joinPath(root, path), mtime, mtime);
  }
  return [root, joinPath(temporaryDirectory(), 'theirs.tar')];
}

/** Compares what an archive says with what the file system says of the same paths. */
function expectTree(root: string, entries: readonly ReadEntry[], count: number): void {
  expect(entries.length).toBe(count);
  const seen = new Map<bigint, string>();
  for (const { header, body } of entries) {
    const path = joinPath(root, header.path);
    const stat = lstatSync(path, { bigint: true });
    const kind = Number(stat.mode) & 0o170000;
    const type = seen.has(stat.ino) && kind === 0o100000 ? 'hardlink' : kinds.get(kind);
    const expected: Partial<TarHeader> = {
      type,
      mode: Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: type === 'file' ? Number(stat.size) : 0,
    };
    // A directory that was made on the way has the time of that moment.
    if (type !== 'directory') expected.mtime = Number(stat.mtimeNs / 1_000_000_000n);
    if (type === 'symlink') expected.linkTarget = readlinkSync(path);
    if (type === 'hardlink') expected.linkTarget = seen.get(stat.ino);
    if (type === 'character-device' || type === 'block-device') {
      expected.device = { major: Number(stat.rdev) >> 8, minor: Number(stat.rdev) & 0xff };
    }
    expect([header.path, header]).toMatchObject([header.path, expected]);
    if (type === 'file') expect(Buffer.compare(body, readFileSync(path))).toBe(0);
    seen.set(stat.ino, header.path);
  }
}

const kinds: ReadonlyMap<number, EntryType> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'character-device'],
  [0o040000, 'directory'],
  [0o060000, 'block-device'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
]);

/** A sparse file with a mark at each of some places. */
function sparseTree(size: number, places: readonly number[]): [root: string, archive: string] {
  const root = temporaryDirectory();
  const file = openSync(joinPath(root, 'sparse'), 'w');
  ftruncateSync(file, size);
  for (const place of places) writeSync(file, 'MARK', place);
  closeSync(file);
  return [root, joinPath(temporaryDirectory(), 'theirs.tar')];
}

/** Reads the archive's one entry and says where it found marks; anything else but zeros fails. */
async function readSparse(archive: string): Promise<unknown> {
  let result: unknown;
  for await (const { header, sparse, body } of readTar(createReadStream(archive))) {
    const found: number[] = [];
    let at = 0;
    for await (const bytes of body) {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      if (Buffer.compare(view, zeros.subarray(0, view.length)) !== 0) {
        for (let mark = view.indexOf('MARK'); mark >= 0; mark = view.indexOf('MARK', mark + 4)) found.push(at + mark);
        expect(view.filter((byte) => byte !== 0).length % 4).toBe(0);
      }
      at += bytes.length;
    }
    result = { path: header.path, size: at === header.size ? at : -1, sparse, found };
  }
  return result;
}

const zeros = Buffer.alloc(1024 ** 2);
