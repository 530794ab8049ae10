import { describe, expect, test } from 'vitest';
import { StowageError } from '../../src/errors.ts';
import { TarDecoder } from '../../src/tar/decoder.ts';
import {
  bytesOf,
  decode,
  encode,
  end,
  entry,
  isSame,
  join,
  latin1,
  meta,
  octal,
  padded,
  pax,
  type RawHeader,
  rawHeader,
  seal,
} from './archives.ts';

const gnu: RawHeader = { magic: 'ustar  \0' };
const binary = (value: bigint, length: number): string => {
  let text = '';
  for (let shift = BigInt(length - 1) * 8n; shift >= 0n; shift -= 8n) {
    text += String.fromCharCode(Number((BigInt.asUintN(length * 8, value) >> shift) & 0xffn));
  }
  return value < 0n ? text : String.fromCharCode(text.charCodeAt(0) | 0x80) + text.slice(1);
};

/** The header of an archive's only entry. */
function read(...parts: readonly Uint8Array[]): ReturnType<typeof decode>[number] {
  const entries = decode(join(...parts, end));
  expect(entries.length).toBe(1);
  return entries[0]!;
}

function refusal(work: () => unknown): StowageError {
  try {
    work();
  } catch (error) {
    if (error instanceof StowageError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('headers of every dialect', () => {
  test('a ustar header gives every field', () => {
    const { header, offset, bodyOffset, body, sparse } = read(
      rawHeader({
        name: 'name',
        prefix: 'a/prefix',
        mode: '0104755\0',
        uid: '0001750\0',
        gid: '0000144\0',
        size: octal(3),
        mtime: octal(1_700_000_000),
        uname: 'user',
        gname: 'group',
      }),
      padded(bytesOf('abc')),
    );
    expect(header).toEqual({
      path: 'a/prefix/name',
      type: 'file',
      size: 3,
      mode: 0o4755,
      uid: 1000,
      gid: 100,
      mtime: 1_700_000_000,
      uname: 'user',
      gname: 'group',
    });
    expect([offset, bodyOffset, sparse, body]).toEqual([0, 512, false, bytesOf('abc')]);
  });

  test.each<[string, RawHeader, object]>([
    ['0', { name: 'f' }, { path: 'f', type: 'file' }],
    ['NUL', { name: 'f', type: '\0' }, { path: 'f', type: 'file' }],
    ['1', { name: 'h', type: '1', linkName: 'f' }, { path: 'h', type: 'hardlink', linkTarget: 'f' }],
    ['2', { name: 's', type: '2', linkName: '/f' }, { path: 's', type: 'symlink', linkTarget: '/f' }],
    [
      '3',
      { name: 'c', type: '3', major: '0000001\0', minor: '0000003\0' },
      { type: 'character-device', device: { major: 1, minor: 3 } },
    ],
    [
      '4',
      { name: 'b', type: '4', major: '0000010\0', minor: '0000000\0' },
      { type: 'block-device', device: { major: 8, minor: 0 } },
    ],
    ['5', { name: 'd/', type: '5' }, { path: 'd', type: 'directory' }],
    ['5 of the root', { name: '/', type: '5' }, { path: '/', type: 'directory' }],
    ['6', { name: 'p', type: '6' }, { path: 'p', type: 'fifo' }],
    ['7, contiguous', { name: 'k', type: '7' }, { path: 'k', type: 'file' }],
    ['unknown', { name: 'u', type: 'Z' }, { path: 'u', type: 'file' }],
  ])('type %s', (_, raw, expected) => {
    expect(read(rawHeader(raw)).header).toMatchObject(expected);
  });

  test('a v7 header has no owner names, and a trailing slash makes a directory', () => {
    const v7 = { magic: '', uname: 'not a name', prefix: 'nor a prefix' };
    expect(read(rawHeader({ ...v7, name: 'f', type: '\0' })).header).toEqual({
      path: 'f',
      type: 'file',
      size: 0,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 0,
    });
    expect(read(rawHeader({ ...v7, name: 'd/', type: '\0' })).header).toMatchObject({ path: 'd', type: 'directory' });
    expect(read(rawHeader({ name: 'd/', type: '\0' })).header).toMatchObject({ path: 'd', type: 'directory' });
    expect(read(rawHeader({ name: 'f/' })).header).toMatchObject({ path: 'f/', type: 'file' });
  });

  test('a GNU header has times where ustar has the prefix', () => {
    expect(read(rawHeader({ ...gnu, name: 'f', prefix: octal(1234) })).header.path).toBe('f');
  });

  test('a star header has times behind a shorter prefix', () => {
    const block = rawHeader({ name: 'f', prefix: 'p'.repeat(131) + octal(7) });
    block.set(latin1('tar\0'), 508);
    expect(read(seal(block)).header.path).toBe(`${'p'.repeat(131)}/f`);
  });

  test('a name that fills its field needs no NUL', () => {
    const name = 'n'.repeat(100);
    const prefix = 'p'.repeat(155);
    expect(read(rawHeader({ name, prefix })).header.path).toBe(`${prefix}/${name}`);
  });

  test('numbers among spaces and NULs, and without an end', () => {
    const fields = { name: 'f', mode: ' 644 \0\0\0', uid: '     1\0 ', gid: '\0\0\0\0\0\0\0\0', mtime: '777777777777' };
    expect(read(rawHeader(fields)).header).toMatchObject({ mode: 0o644, uid: 1, gid: 0, mtime: 8 ** 12 - 1 });
  });

  test('base-256 numbers, also negative ones', () => {
    const fields = { ...gnu, name: 'f', uid: binary(2n ** 31n, 8), gid: binary(-2n, 8), mtime: binary(-86_400n, 12) };
    expect(read(rawHeader(fields)).header).toMatchObject({ uid: 2 ** 31, gid: 2 ** 32 - 2, mtime: -86_400 });
    const latest = BigInt(Number.MAX_SAFE_INTEGER);
    expect(read(rawHeader({ ...gnu, name: 'f', mtime: binary(latest, 12) })).header.mtime).toBe(
      Number.MAX_SAFE_INTEGER,
    );
  });

  test('a checksum of signed bytes is as good as one of unsigned', () => {
    expect(read(rawHeader({ name: 'n\xe9\xff' }, 'signed')).header.path).toBe('n\udce9\udcff');
    expect(read(rawHeader({ name: 'n\xe9\xff' }, 'unsigned')).header.path).toBe('n\udce9\udcff');
  });

  test('UTF-8 in a plain header is read as such', () => {
    const name = String.fromCharCode(...bytesOf('é😀'));
    expect(read(rawHeader({ name })).header.path).toBe('é😀');
  });
});

describe('extended headers', () => {
  test('PAX records stand in for every field of the header', () => {
    const xattr = latin1('\0\x01\xff=\n');
    const records = pax([
      ['path', 'a/path'],
      ['size', '2'],
      ['uid', '4294967294'],
      ['gid', '70000000'],
      ['mtime', '1700000000.123456789123'],
      ['atime', '1'],
      ['comment', 'no matter'],
      ['uname', 'Zoë'],
      ['gname', 'staff'],
      ['SCHILY.xattr.user.bytes', xattr],
      ['SCHILY.xattr.user.empty', ''],
    ]);
    const { header, body, offset } = read(meta('x', records), rawHeader({ name: 'short' }), padded(bytesOf('hi')));
    expect(header).toEqual({
      path: 'a/path',
      type: 'file',
      size: 2,
      mode: 0o644,
      uid: 4294967294,
      gid: 70000000,
      mtime: 1700000000,
      nanoseconds: 123456789,
      uname: 'Zoë',
      gname: 'staff',
      xattrs: { 'user.bytes': xattr, 'user.empty': bytesOf('') },
    });
    expect([body, offset]).toEqual([bytesOf('hi'), 512 + Math.ceil(records.length / 512) * 512]);
  });

  test.each([
    ['-1', -1, undefined],
    ['-1.5', -2, 500_000_000],
    ['-0.000000001', -1, 999_999_999],
    ['0.5', 0, 500_000_000],
    ['12.', 12, undefined],
    ['9007199254740991', Number.MAX_SAFE_INTEGER, undefined],
  ])('the time %s', (value, mtime, nanoseconds) => {
    const { header } = read(meta('x', pax([['mtime', value]])), rawHeader({ name: 'f' }));
    expect([header.mtime, header.nanoseconds]).toEqual([mtime, nanoseconds]);
  });

  test('what an entry holds stays, although the chunk that it came from is used again', () => {
    // As Node's Buffer does it: a slice that is no copy.
    class Shared extends Uint8Array<ArrayBuffer> {
      override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
        return this.subarray(start, end);
      }
    }
    const archive = Shared.from(encode(entry('f', { xattrs: { 'user.a': bytesOf('value') }, body: bytesOf('body') })));
    const decoder = new TarDecoder();
    decoder.push(archive);
    const event = decoder.next();
    const body = decoder.next();
    expect(body?.type === 'body' && Object.getPrototypeOf(body.bytes)).toBe(Uint8Array.prototype);
    archive.fill(0);
    expect(event).toMatchObject({ header: { path: 'f', xattrs: { 'user.a': bytesOf('value') } } });
  });

  test('links get their target from linkpath, and devices their numbers', () => {
    const link = read(meta('x', pax([['linkpath', 'far']])), rawHeader({ name: 's', type: '2', linkName: 'near' }));
    expect(link.header.linkTarget).toBe('far');
    const numbers = pax([
      ['SCHILY.devmajor', '3000000'],
      ['SCHILY.devminor', '7'],
    ]);
    const device = read(meta('x', numbers), rawHeader({ name: 'b', type: '4' }));
    expect(device.header.device).toEqual({ major: 3000000, minor: 7 });
  });

  test('xattrs that only libarchive wrote are read, its copies of others are not', () => {
    const records = pax([
      ['LIBARCHIVE.xattr.user.a%3Db', 'AAH/'],
      ['LIBARCHIVE.xattr.user.both', 'AAAA'],
      ['SCHILY.xattr.user.both', 'plain'],
    ]);
    expect(read(meta('x', records), rawHeader({ name: 'f' })).header.xattrs).toEqual({
      'user.a=b': latin1('\0\x01\xff'),
      'user.both': bytesOf('plain'),
    });
  });

  test('a global header acts until it is overridden, and an empty value takes it back', () => {
    const entries = decode(
      join(
        meta(
          'g',
          pax([
            ['uid', '7'],
            ['uname', 'all'],
            ['mtime', '5.5'],
          ]),
        ),
        rawHeader({ name: 'a' }),
        meta(
          'x',
          pax([
            ['uid', '8'],
            ['uname', ''],
          ]),
        ),
        rawHeader({ name: 'b', uname: 'own' }),
        rawHeader({ name: 'c' }),
        meta(
          'g',
          pax([
            ['uid', ''],
            ['uname', 'new'],
          ]),
        ),
        rawHeader({ name: 'd', uid: '0000003\0' }),
        end,
      ),
    );
    expect(
      entries.map(({ header }) => [header.path, header.uid, header.uname, header.mtime, header.nanoseconds]),
    ).toEqual([
      ['a', 7, 'all', 5, 500_000_000],
      ['b', 8, 'own', 5, 500_000_000],
      ['c', 7, 'all', 5, 500_000_000],
      ['d', 3, 'new', 5, 500_000_000],
    ]);
  });

  test('GNU long names and links', () => {
    const name = `${'long/'.repeat(60)}name`;
    const target = `${'far/'.repeat(60)}target`;
    const { header } = read(
      meta('K', bytesOf(`${target}\0`)),
      meta('L', bytesOf(`${name}\0`)),
      rawHeader({ ...gnu, name: name.slice(0, 100), type: '2', linkName: target.slice(0, 100) }),
    );
    expect([header.path, header.linkTarget]).toEqual([name, target]);
    const directory = read(meta('L', bytesOf(`${name}/\0`)), rawHeader({ ...gnu, name: 'x', type: '5' }));
    expect(directory.header.path).toBe(name);
  });

  test('volume labels, access lists and dump lists are no files', () => {
    const entries = decode(
      join(
        rawHeader({ ...gnu, name: 'label', type: 'V' }),
        rawHeader({ name: 'acl', type: 'A', size: octal(3) }),
        padded(bytesOf('acl')),
        rawHeader({ ...gnu, name: 'dir/', type: 'D', size: octal(5) }),
        padded(bytesOf('Yfile')),
        rawHeader({ name: 'f', size: octal(1) }),
        padded(bytesOf('f')),
        end,
      ),
    );
    expect(entries.map(({ header, body }) => [header.path, header.type, header.size, body.length])).toEqual([
      ['dir', 'directory', 0, 0],
      ['f', 'file', 1, 1],
    ]);
  });

  test('a stated size of links, directories, devices and fifos is no body', () => {
    for (const type of ['2', '3', '4', '5', '6']) {
      const archive = join(
        rawHeader({ name: 'a', type, linkName: 'x', size: octal(700) }),
        rawHeader({ name: 'b' }),
        end,
      );
      expect(decode(archive).map(({ header }) => [header.path, header.size])).toEqual([
        ['a', 0],
        ['b', 0],
      ]);
    }
  });

  test("a hard link's body is read where there is one, and not made up where there is none", () => {
    const link = rawHeader({ name: 'h', type: '1', linkName: 'f', size: octal(3) });
    const next = rawHeader({ name: 'next' });
    const sizes = (archive: Uint8Array, cuts?: number[]): unknown =>
      decode(archive, { cuts }).map(({ header, body }) => [header.path, header.size, body]);
    const none = new Uint8Array(0);
    expect(sizes(join(link, next, end))).toEqual([
      ['h', 0, none],
      ['next', 0, none],
    ]);
    expect(sizes(join(link, end))).toEqual([['h', 0, none]]);
    expect(sizes(link)).toEqual([['h', 0, none]]);
    for (const cuts of [[], [512], [700], [514, 600, 1024]]) {
      expect(sizes(join(link, padded(bytesOf('abc')), next, end), cuts)).toEqual([
        ['h', 3, bytesOf('abc')],
        ['next', 0, none],
      ]);
    }
  });
});

describe('sparse files', () => {
  const data = [bytesOf('A'.repeat(512)), bytesOf('B'.repeat(100))];
  const content = new Uint8Array(5000);
  content.set(data[0]!, 1024);
  content.set(data[1]!, 4000);
  const stored = join(...data);
  const map = '1024,512,4000,100,5000,0';

  function expectContent({ header, body, sparse }: ReturnType<typeof decode>[number]): void {
    expect([header.path, header.type, header.size, sparse]).toEqual(['real/name', 'file', 5000, true]);
    expect(body).toEqual(content);
  }

  function oldHeader(extents: readonly number[][], more: boolean, realSize: number, size: number): Uint8Array {
    const block = rawHeader({ ...gnu, name: 'real/name', type: 'S', size: octal(size) });
    extents.forEach(([offset, length], index) => {
      block.set(latin1(octal(offset!) + octal(length!)), 386 + index * 24);
    });
    block[482] = more ? 1 : 0;
    block.set(latin1(octal(realSize)), 483);
    return seal(block);
  }

  function oldExtension(extents: readonly number[][], more: boolean): Uint8Array {
    const block = new Uint8Array(512);
    extents.forEach(([offset, length], index) => {
      block.set(latin1(octal(offset!) + octal(length!)), index * 24);
    });
    block[504] = more ? 1 : 0;
    return block;
  }

  test('the old GNU header', () => {
    expectContent(
      read(
        oldHeader(
          [
            [1024, 512],
            [4000, 100],
            [5000, 0],
          ],
          false,
          5000,
          612,
        ),
        padded(stored),
      ),
    );
  });

  test('the old GNU header with blocks of extents after it', () => {
    const extents = Array.from({ length: 50 }, (_, index) => [index * 1000, 10]);
    const body = bytesOf('0123456789'.repeat(50));
    const { header, body: body_ } = read(
      oldHeader(extents.slice(0, 4), true, 100_000, 500),
      oldExtension(extents.slice(4, 25), true),
      oldExtension(extents.slice(25, 46), true),
      oldExtension(extents.slice(46), false),
      padded(body),
    );
    const expected = new Uint8Array(100_000);
    for (const [offset] of extents) expected.set(bytesOf('0123456789'), offset);
    expect(header.size).toBe(100_000);
    expect(isSame(body_, expected)).toBe(true);
  });

  test('PAX format 0.0', () => {
    const records = pax([
      ['GNU.sparse.size', '5000'],
      ['GNU.sparse.numblocks', '3'],
      ...map
        .split(',')
        .map((value, index): [string, string] => [`GNU.sparse.${index % 2 ? 'numbytes' : 'offset'}`, value]),
    ]);
    expectContent(read(meta('x', records), rawHeader({ name: 'real/name', size: octal(612) }), padded(stored)));
  });

  test('PAX format 0.1', () => {
    const records = pax([
      ['GNU.sparse.size', '5000'],
      ['GNU.sparse.numblocks', '3'],
      ['GNU.sparse.name', 'real/name'],
      ['GNU.sparse.map', map],
    ]);
    expectContent(
      read(meta('x', records), rawHeader({ name: 'GNUSparseFile.0/name', size: octal(612) }), padded(stored)),
    );
  });

  const records10 = (size: number | string): Uint8Array =>
    pax([
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', 'real/name'],
      ['GNU.sparse.realsize', String(size)],
    ]);

  test('PAX format 1.0, in any chunking', () => {
    const front = padded(bytesOf(`3\n${map.replaceAll(',', '\n')}\n`));
    const archive = join(
      meta('x', records10(5000)),
      rawHeader({ name: 'GNUSparseFile.0/name', size: octal(512 + 612) }),
      front,
      padded(stored),
      end,
    );
    expectContent(decode(archive)[0]!);
    expectContent(decode(archive, { cuts: Array.from({ length: archive.length }, (_, index) => index) })[0]!);
  });

  test('PAX format 1.0 with a map of several blocks', () => {
    const count = 200;
    const lines = Array.from({ length: count }, (_, index) => `${index * 100}\n1\n`).join('');
    const front = padded(bytesOf(`${count}\n${lines}`));
    const body = new Uint8Array(count).fill(0x2a);
    const header = rawHeader({ name: 'x', size: octal(front.length + count) });
    const result = read(meta('x', records10(count * 100)), header, front, padded(body));
    expect(result.body.length).toBe(count * 100);
    expect(result.body.every((byte, index) => byte === (index % 100 === 0 ? 0x2a : 0))).toBe(true);
  });

  test('9 GiB of hole are neither stored nor made', () => {
    const size = 9 * 1024 ** 3;
    const header = rawHeader({ name: 'x', size: octal(512) });
    const archive = join(
      meta('x', records10(size)),
      header,
      padded(bytesOf(`1\n${size}\n0\n`)),
      rawHeader({ name: 'next' }),
      end,
    );
    const decoder = new TarDecoder();
    decoder.push(archive);
    decoder.end();
    let total = 0;
    const buffers = new Set<unknown>();
    const paths: string[] = [];
    for (let event = decoder.next(); event !== undefined; event = decoder.next()) {
      if (event.type === 'entry') paths.push(event.header.path);
      if (event.type !== 'body') continue;
      total += event.bytes.length;
      buffers.add(event.bytes.buffer);
    }
    expect([total, buffers.size, paths]).toEqual([size, 1, ['real/name', 'next']]);
  });

  test.each([
    ['overlap', '0,100,50,562', '5000'],
    ['go backwards', '1000,512,0,100', '5000'],
    ['lie past the end', '1024,512,4000,100', '4050'],
    ['name less data than there is', '1024,512', '5000'],
    ['name more data than there is', '1024,512,4000,101', '5000'],
    ['are no numbers', '1024,x', '5000'],
    ['lack a length', '1024,512,4000', '5000'],
  ])('extents that %s are refused', (_, extents, realSize) => {
    const records = pax([
      ['GNU.sparse.size', realSize],
      ['GNU.sparse.name', 'real/name'],
      ['GNU.sparse.map', extents],
    ]);
    const archive = join(meta('x', records), rawHeader({ name: 'x', size: octal(612) }), padded(stored), end);
    expect(refusal(() => decode(archive)).code).toBe('TAR_INVALID');
  });

  test('holes past what may inflate are refused when they are read, not when they are skipped', () => {
    const size = 2 ** 50;
    const header = rawHeader({ name: 'x', size: octal(512) });
    const archive = join(meta('x', records10(size)), header, padded(bytesOf(`1\n${size}\n0\n`)), end);
    expect(refusal(() => decode(archive))).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: 'inflatedBytes' },
    });
    const decoder = new TarDecoder();
    decoder.push(archive);
    decoder.end();
    expect(decoder.next()).toMatchObject({ type: 'entry', header: { size } });
    decoder.skip();
    expect(decoder.next()).toEqual({ type: 'end' });
    expect(decoder.next()).toBe(undefined);
  });
});

describe('where an archive ends', () => {
  const one = encode(entry('f', { body: bytesOf('f') })).slice(0, 1024);

  test.each<[string, Uint8Array]>([
    ['with two zero blocks', join(one, end)],
    ['with padding to a record', join(one, new Uint8Array(9216))],
    ['without an end marker', one],
    ["without the last body's padding, as umoci insert writes it", one.slice(0, 513)],
    ["amid the last body's padding", one.slice(0, 700)],
    ['with one zero block', join(one, new Uint8Array(512))],
    ['with anything after two zero blocks', join(one, end, bytesOf('rubbish'), one)],
  ])('%s', (_, archive) => {
    expect(decode(archive).map(({ header }) => header.path)).toEqual(['f']);
    expect(decode(archive, { cuts: [1, 511, 513, 1023] }).length).toBe(1);
  });

  test('nothing at all is an archive of nothing', () => {
    expect(decode(new Uint8Array(0))).toEqual([]);
    expect(decode(end)).toEqual([]);
  });

  test('a lone zero block amid entries is refused', () => {
    const error = refusal(() => decode(join(one, new Uint8Array(512), one, end)));
    expect(error).toMatchObject({ code: 'TAR_INVALID', details: { offset: 1536, path: 'f' } });
  });

  test('an archive that is cut anywhere else is truncated, by offset and entry', () => {
    const archive = encode(entry('f', { body: bytesOf('f'.repeat(600)), mtime: -1 }), entry('g')).slice(0, -1024);
    const bodyEnd = 1024 + 512 + 600;
    const isBoundary = (at: number): boolean =>
      [0, archive.length].includes(at) || (at >= bodyEnd && at <= 1024 + 512 + 1024);
    for (let length = 0; length <= archive.length; length++) {
      const cut = archive.slice(0, length);
      if (isBoundary(length)) decode(cut);
      else expect(refusal(() => decode(cut))).toMatchObject({ code: 'TAR_TRUNCATED', details: { offset: length } });
    }
    expect(refusal(() => decode(archive.slice(0, 1600))).message).toContain('in entry "f"');
  });
});

describe('what the decoder refuses', () => {
  const broken = rawHeader({ name: 'bad' });
  broken[0] = 0x42;

  test('a wrong checksum, by offset and the entry before it', () => {
    const archive = join(rawHeader({ name: 'good' }), broken, end);
    const error = refusal(() => decode(archive, { what: 'layer sha256:12' }));
    expect(error).toMatchObject({ code: 'TAR_INVALID', details: { offset: 512, path: 'good' } });
    expect(error.message).toMatch(/^layer sha256:12: .*checksum.* byte 512, after entry "good"/);
  });

  test.each<[string, Uint8Array]>([
    ['something else than tar', bytesOf('PK'.repeat(400))],
    ['a size that is no number', rawHeader({ name: 'a', size: '0000000009x\0' })],
    ['a negative size', rawHeader({ ...gnu, name: 'a', size: binary(-1n, 12) })],
    ['a size past 2^53', rawHeader({ ...gnu, name: 'a', size: binary(2n ** 53n, 12) })],
    ['a mode that is no number', rawHeader({ name: 'a', mode: 'rwxr-xr-' })],
    ['a continuation of another volume', rawHeader({ ...gnu, name: 'a', type: 'M' })],
    ['a rename script', rawHeader({ ...gnu, name: 'a', type: 'N' })],
    ['a sparse file without a GNU header', rawHeader({ name: 'a', type: 'S' })],
    ['an extended header at the end', join(meta('x', pax([['path', 'a']])), end)],
  ])('%s', (_, archive) => {
    expect(refusal(() => decode(archive)).code).toBe('TAR_INVALID');
  });

  test.each<[string, string]>([
    ['without a length', 'path=a\n'],
    ['with a length that is too short', '7 path=a\n'],
    ['with a length that is too long', '99 path=a\n'],
    ['with a length of nothing', '0 path=a\n'],
    ['with an endless length', `${'9'.repeat(30)} path=a\n`],
    ['without a newline', '9 path=ab'],
    ['without an equals sign', '7 path\n'],
    ['without a keyword', '5 =a\n'],
    ['with rubbish after it', '10 path=a\n\0\0'],
  ])('a PAX record %s', (_, record) => {
    const archive = join(meta('x', latin1(record)), rawHeader({ name: 'a' }), end);
    expect(refusal(() => decode(archive)).code).toBe('TAR_INVALID');
  });

  test.each<[string, [string, string][]]>([
    ['with a NUL in a path', [['path', 'a\0b']]],
    ['with a NUL in a keyword', [['pa\0th', 'a']]],
    ['with a negative size', [['size', '-1']]],
    ['with a size in hex', [['size', '0x10']]],
    ['with a size past 2^53', [['size', '9007199254740992']]],
    ['with a time that is none', [['mtime', '1e9']]],
    ['with a broken fraction', [['mtime', '1.2.3']]],
    ['with a sign alone', [['mtime', '-']]],
    [
      'of an unknown sparse format',
      [
        ['GNU.sparse.major', '2'],
        ['GNU.sparse.minor', '0'],
      ],
    ],
    [
      'with a sparse length before its offset',
      [
        ['GNU.sparse.numbytes', '1'],
        ['GNU.sparse.offset', '0'],
      ],
    ],
    [
      'with a wrong count of extents',
      [
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.map', '0,0'],
      ],
    ],
  ])('a well-formed PAX record %s', (_, records) => {
    const archive = join(meta('x', pax(records)), rawHeader({ name: 'a' }), end);
    expect(refusal(() => decode(archive)).code).toBe('TAR_INVALID');
  });

  test('it says the same again when it is asked again', () => {
    const decoder = new TarDecoder();
    decoder.push(broken);
    const first = refusal(() => decoder.next());
    expect(refusal(() => decoder.next())).toBe(first);
  });

  test('bytes after the end was announced', () => {
    const decoder = new TarDecoder();
    decoder.end();
    expect(refusal(() => decoder.push(end)).code).toBe('ARGUMENT_INVALID');
  });
});

describe('limits', () => {
  test('entries', () => {
    const archive = encode(entry('a'), entry('b'), entry('c'));
    expect(decode(archive, { limits: { tarEntries: 3 } }).length).toBe(3);
    const error = refusal(() => decode(archive, { limits: { tarEntries: 2 } }));
    expect(error).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'tarEntries', maximum: 2 } });
  });

  test('bytes of names and link targets, counted as UTF-8', () => {
    for (const source of [entry('é'.repeat(60)), entry('l', { type: 'symlink', linkTarget: 'é'.repeat(60) })]) {
      expect(decode(encode(source), { limits: { pathBytes: 120 } }).length).toBe(1);
      const error = refusal(() => decode(encode(source), { limits: { pathBytes: 119 } }));
      expect(error).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'pathBytes' } });
    }
  });

  test('bytes of extended headers, before they are held', () => {
    const huge = rawHeader({ name: 'x', type: 'x', size: octal(2 ** 32) });
    expect(refusal(() => decode(huge))).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'paxBytes' } });
    const many = join(
      ...Array.from({ length: 3 }, () => meta('L', bytesOf('n'.repeat(500)))),
      rawHeader({ name: 'x' }),
      end,
    );
    expect(decode(many, { limits: { paxBytes: 1500 } }).length).toBe(1);
    expect(refusal(() => decode(many, { limits: { paxBytes: 1499 } })).details.limit).toBe('paxBytes');
  });

  test('extents of a sparse file, in every format', () => {
    const map = '0,1,10,1,20,1';
    const front = padded(bytesOf(`3\n${map.replaceAll(',', '\n')}\n`));
    const version = [['GNU.sparse.major', '1'] as const, ['GNU.sparse.minor', '0'] as const];
    const archives = [
      join(
        meta(
          'x',
          pax([
            ['GNU.sparse.size', '30'],
            ['GNU.sparse.map', map],
          ]),
        ),
        rawHeader({ size: octal(3) }),
        padded(bytesOf('abc')),
      ),
      join(
        meta('x', pax([...version, ['GNU.sparse.realsize', '30']])),
        rawHeader({ size: octal(515) }),
        front,
        padded(bytesOf('abc')),
      ),
    ];
    for (const archive of archives) {
      expect(decode(archive, { limits: { sparseExtents: 3 } })[0]!.body.length).toBe(30);
      expect(refusal(() => decode(archive, { limits: { sparseExtents: 2 } })).details.limit).toBe('sparseExtents');
    }
  });
});
