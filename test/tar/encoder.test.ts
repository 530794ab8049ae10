import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StowageError } from '../../src/errors.ts';
import { TarEncoder } from '../../src/tar/encoder.ts';
import type { TarHeader } from '../../src/tar/entry.ts';
import type { TarSource } from '../../src/tar/write-tar.ts';
import { bytesOf, decode, encode, end, entry, join, latin1, octal, padded, pax, rawHeader } from './archives.ts';

function refusal(work: () => unknown): StowageError {
  try {
    work();
  } catch (error) {
    if (error instanceof StowageError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const devices = { major: '0000000\0', minor: '0000000\0' };

describe('what the encoder writes, byte by byte', () => {
  test('a plain file is one ustar header, its padded body and two zero blocks', () => {
    const archive = encode(entry('hello', { body: bytesOf('hi'), mode: 0o755, uid: 1, gid: 2, mtime: 3 }));
    const header = rawHeader({
      name: 'hello',
      mode: '0000755\0',
      uid: '0000001\0',
      gid: '0000002\0',
      size: octal(2),
      mtime: octal(3),
      ...devices,
    });
    expect(archive).toEqual(join(header, padded(bytesOf('hi')), end));
  });

  test.each<[string, Partial<TarHeader>, Parameters<typeof rawHeader>[0]]>([
    ['d', { type: 'directory' }, { name: 'd/', type: '5' }],
    ['d//', { type: 'directory' }, { name: 'd/', type: '5' }],
    ['s', { type: 'symlink', linkTarget: '../t' }, { name: 's', type: '2', linkName: '../t' }],
    ['h', { type: 'hardlink', linkTarget: 'hello' }, { name: 'h', type: '1', linkName: 'hello' }],
    ['p', { type: 'fifo' }, { name: 'p', type: '6' }],
    [
      'c',
      { type: 'character-device', device: { major: 5, minor: 1 } },
      { name: 'c', type: '3', major: '0000005\0', minor: '0000001\0' },
    ],
    [
      'b',
      { type: 'block-device', device: { major: 8, minor: 0o7777777 } },
      { name: 'b', type: '4', major: '0000010\0', minor: '7777777\0' },
    ],
    ['o', { uname: 'root', gname: 'wheel' }, { name: 'o', uname: 'root', gname: 'wheel' }],
  ])('%s is written as ustar says', (path, fields, raw) => {
    expect(encode(entry(path, fields))).toEqual(join(rawHeader({ ...devices, ...raw }), end));
  });

  test('a long path is parted into prefix and name at a slash, without a PAX record', () => {
    const prefix = `${'p'.repeat(75)}/${'q'.repeat(79)}`;
    const name = 'n'.repeat(100);
    expect(encode(entry(`${prefix}/${name}`))).toEqual(join(rawHeader({ name, prefix, ...devices }), end));
  });

  test('what ustar cannot say goes into one PAX header with sorted records and nothing of its own', () => {
    const path = `${'d'.repeat(150)}/${'é'.repeat(75)}`;
    const xattrs = { 'user.b': latin1('\0\xff=\n'), 'security.capability': latin1('\x01\0\0\x02') };
    const archive = encode(
      entry(path, { uid: 0o10000000, gid: 0o7777777, mtime: -2, nanoseconds: 500_000_000, uname: 'Zoë', xattrs }),
    );
    const records = pax([
      ['SCHILY.xattr.security.capability', xattrs['security.capability']],
      ['SCHILY.xattr.user.b', xattrs['user.b']],
      ['mtime', '-1.5'],
      ['path', path],
      ['uid', '2097152'],
      ['uname', 'Zoë'],
    ]);
    expect(archive).toEqual(
      join(
        rawHeader({ name: `PaxHeaders.0/${'_'.repeat(87)}`, type: 'x', size: octal(records.length), ...devices }),
        padded(records),
        rawHeader({ name: 'd'.repeat(100), gid: '7777777\0', uname: 'Zo__', ...devices }),
        end,
      ),
    );
  });

  test('sizes up to 8 GiB less one byte are octal, larger ones a PAX record', () => {
    const header = (size: number): Uint8Array => {
      const parts: Uint8Array[] = [];
      const encoder = new TarEncoder((bytes) => parts.push(bytes));
      encoder.entry(entry('big', { size }));
      // The body's first bytes push the headers out.
      encoder.write(new Uint8Array(70_000));
      return join(...parts);
    };
    expect(header(8 * 1024 ** 3 - 1).slice(0, 512)).toEqual(
      rawHeader({ name: 'big', size: octal(0o77777777777), ...devices }),
    );
    const records = pax([['size', '8589934592']]);
    expect(header(8 * 1024 ** 3).slice(0, 1536)).toEqual(
      join(
        rawHeader({ name: 'PaxHeaders.0/big', type: 'x', size: octal(records.length), ...devices }),
        padded(records),
        rawHeader({ name: 'big', ...devices }),
      ),
    );
  });

  test('a name that is not UTF-8 is written as its bytes', () => {
    expect(encode(entry('caf\udce9'))).toEqual(join(rawHeader({ name: 'caf\xe9', ...devices }), end));
    const long = `${'x'.repeat(120)}\udcff`;
    const records = pax([
      ['hdrcharset', 'BINARY'],
      ['path', latin1(`${'x'.repeat(120)}\xff`)],
    ]);
    expect(encode(entry(long)).slice(512, 1024)).toEqual(padded(records));
    expect(decode(encode(entry(long)))[0]!.header.path).toBe(long);
  });

  test('an empty archive is two zero blocks', () => {
    expect(encode()).toEqual(end);
  });

  test('xattrs with dangerous names are plain data', () => {
    const xattrs = Object.fromEntries([['__proto__', bytesOf('x')]]) as Record<string, Uint8Array>;
    Object.defineProperty(xattrs, '__proto__', { value: bytesOf('x'), enumerable: true, configurable: true });
    const read = decode(encode(entry('f', { xattrs })))[0]!.header.xattrs!;
    expect(Object.keys(read)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(read)).toBe(null);
  });
});

describe('how the encoder hands out its bytes', () => {
  test('chunks are at least 64 KiB but for the last, and large bodies pass without a copy', () => {
    const parts: Uint8Array[] = [];
    const encoder = new TarEncoder((bytes) => parts.push(bytes));
    const large = new Uint8Array(1_000_000).fill(7);
    for (const body of [bytesOf('small'), large, new Uint8Array(70_000).fill(3), bytesOf('x')]) {
      encoder.entry(entry('f', { size: body.length }));
      encoder.write(body);
    }
    encoder.finish();
    for (const part of parts.slice(0, -1)) expect(part.length).toBeGreaterThanOrEqual(65536);
    expect(parts.some((part) => part.buffer === large.buffer)).toBe(true);
    expect(decode(join(...parts)).map(({ body }) => body.length)).toEqual([5, 1_000_000, 70_000, 1]);
  });

  test('the same entries give the same bytes however the bodies are cut', () => {
    const body = Uint8Array.from({ length: 200_000 }, (_, index) => index % 251);
    const whole = encode(entry('f', { body }), entry('g', { body }));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: body.length }), { maxLength: 8 }), (places) => {
        const parts: Uint8Array[] = [];
        const encoder = new TarEncoder((bytes) => parts.push(bytes));
        for (const path of ['f', 'g']) {
          encoder.entry(entry(path, { size: body.length }));
          let start = 0;
          for (const cut of [...places.sort((a, b) => a - b), body.length]) {
            encoder.write(body.subarray(start, cut));
            start = cut;
          }
        }
        encoder.finish();
        expect(join(...parts).every((byte, index) => byte === whole[index])).toBe(true);
      }),
      { numRuns: 20 },
    );
  });
});

describe('what the encoder refuses', () => {
  test.each<[string, TarSource, string]>([
    ['an empty path', entry(''), 'path'],
    ['a path with a NUL', entry('a\0b'), 'path'],
    ['a path with half a surrogate pair', entry('a\ud800'), 'path'],
    ['a file whose path ends in a slash', entry('a/'), 'path'],
    ['a type that is none', entry('a', { type: 'socket' as 'file' }), 'type'],
    ['a negative size', entry('a', { size: -1 }), 'size'],
    ['a broken size', entry('a', { size: 1.5 }), 'size'],
    ['a size past 2^53', entry('a', { size: 2 ** 53 }), 'size'],
    ['a directory with a size', entry('a', { type: 'directory', size: 1 }), 'size'],
    ['a hard link with a size', entry('a', { type: 'hardlink', linkTarget: 'b', size: 1 }), 'size'],
    ['a mode with type bits', entry('a', { mode: 0o100644 }), 'mode'],
    ['a mode that is no number', entry('a', { mode: Number.NaN }), 'mode'],
    ['a negative uid', entry('a', { uid: -1 }), 'uid'],
    ['a gid past 2^53', entry('a', { gid: 2 ** 60 }), 'gid'],
    ['an mtime that is no whole number', entry('a', { mtime: 0.5 }), 'mtime'],
    ['a second of nanoseconds', entry('a', { nanoseconds: 1_000_000_000 }), 'nanoseconds'],
    ['a symlink to nowhere', entry('a', { type: 'symlink' }), 'linkTarget'],
    ['a link target with a NUL', entry('a', { type: 'symlink', linkTarget: 'b\0' }), 'linkTarget'],
    ['a file with a link target', entry('a', { linkTarget: 'b' }), 'linkTarget'],
    ['a device without numbers', entry('a', { type: 'block-device' }), 'device'],
    [
      'a device number past seven digits',
      entry('a', { type: 'block-device', device: { major: 0o10000000, minor: 0 } }),
      'device.major',
    ],
    ['a file with device numbers', entry('a', { device: { major: 1, minor: 1 } }), 'device'],
    ['a user name with a NUL', entry('a', { uname: 'r\0' }), 'uname'],
    ['an xattr name with an equals sign', entry('a', { xattrs: { 'user.a=b': bytesOf('') } }), 'xattrs["user.a=b"]'],
    ['an xattr that is text', entry('a', { xattrs: { 'user.a': 'b' as unknown as Uint8Array } }), 'xattrs["user.a"]'],
  ])('%s, by path and field', (_, source, field) => {
    const error = refusal(() => encode(source));
    expect(error.code).toBe('FILE_INVALID');
    expect(error.details).toEqual({ path: source.path, field });
    expect(error.message).toContain(JSON.stringify(source.path));
  });

  test('a body longer or shorter than its size, by path', () => {
    const encoder = new TarEncoder(() => {});
    encoder.entry(entry('etc/passwd', { size: 3 }));
    const longer = refusal(() => encoder.write(bytesOf('four')));
    expect(longer).toMatchObject({ code: 'SIZE_MISMATCH', details: { path: 'etc/passwd', expected: 3, actual: 4 } });
    encoder.write(bytesOf('ab'));
    const shorter = refusal(() => encoder.entry(entry('next')));
    expect(shorter).toMatchObject({ code: 'SIZE_MISMATCH', details: { path: 'etc/passwd', expected: 3, actual: 2 } });
    expect(refusal(() => encoder.finish()).code).toBe('SIZE_MISMATCH');
  });

  test('anything after the end', () => {
    const encoder = new TarEncoder(() => {});
    encoder.finish();
    expect(refusal(() => encoder.entry(entry('a'))).code).toBe('ARGUMENT_INVALID');
    expect(refusal(() => encoder.finish()).code).toBe('ARGUMENT_INVALID');
  });
});
