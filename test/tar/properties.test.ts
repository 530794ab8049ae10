import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StowageError } from '../../src/errors.ts';
import { decodeText } from '../../src/tar/decode-text.ts';
import type { TarHeader } from '../../src/tar/entry.ts';
import { encodeText, isEscaped } from '../../src/tar/text.ts';
import { bytesOf, decode, encode, end, entry, join, meta, octal, padded, pax, rawHeader } from './archives.ts';

type Source = TarHeader & { body: Uint8Array };

/** Text as file names have it: any Unicode, and bytes that are none, but nothing that a tar archive cannot say. */
const name = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }),
    fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => decodeText(bytes)),
    fc
      .array(fc.constantFrom('a', 'usr', 'd'.repeat(60), 'é', '\udcff', '😀'), { minLength: 1, maxLength: 8 })
      .map((parts) => parts.join('/')),
  )
  .map((text) => text.replaceAll('\0', '_').replace(/\/+$/, '_'))
  // Escaped bytes that happen to make UTF-8 are read as what they make.
  .filter((text) => decodeText(encodeText(text) ?? bytesOf('')) === text);

const small = fc.nat({ max: 0o7777777 });
const id = fc.oneof(small, fc.maxSafeNat());
const time = fc.oneof(fc.nat(), fc.maxSafeInteger());

const xattrs = fc
  .array(
    fc.tuple(
      name.filter((text) => !text.includes('=')),
      fc.uint8Array({ maxLength: 300 }),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => Object.assign(Object.create(null), Object.fromEntries(pairs)) as Record<string, Uint8Array>);

const shared = {
  path: name,
  mode: fc.nat({ max: 0o7777 }),
  uid: id,
  gid: id,
  mtime: time,
  nanoseconds: fc.integer({ min: 1, max: 999_999_999 }),
  uname: name,
  gname: name,
  xattrs,
};
const optional = { requiredKeys: ['path', 'mode', 'uid', 'gid', 'mtime'] } as {
  requiredKeys: ['path', 'mode', 'uid', 'gid', 'mtime'];
};
const metadata = fc.record(shared, optional);

const source: fc.Arbitrary<Source> = fc
  .tuple(
    metadata,
    fc.oneof(
      fc.uint8Array({ maxLength: 3000 }).map((body) => ({ type: 'file' as const, body })),
      fc.constantFrom({ type: 'directory' as const }, { type: 'fifo' as const }),
      fc.record({ type: fc.constantFrom('symlink' as const, 'hardlink' as const), linkTarget: name }),
      fc.record({
        type: fc.constantFrom('character-device' as const, 'block-device' as const),
        device: fc.record({ major: small, minor: small }),
      }),
    ),
  )
  .map(([fields, kind]) => {
    const body = 'body' in kind ? kind.body : new Uint8Array(0);
    const { xattrs: attributes, ...rest } = fields;
    const own = attributes !== undefined && Object.keys(attributes).length > 0 ? { xattrs: attributes } : {};
    return { ...rest, ...own, ...kind, size: body.length, body };
  });

function expectSame(archive: Uint8Array, sources: readonly Source[]): void {
  const read = decode(archive).map(({ header, body }) => ({ ...header, body }));
  expect(read).toEqual(sources);
}

describe('any entry', () => {
  test('comes back from an archive as it went in', () => {
    fc.assert(
      fc.property(fc.array(source, { maxLength: 4 }), (sources) => expectSame(encode(...sources), sources)),
      { numRuns: 500 },
    );
  });

  test('is read the same however the archive is cut', () => {
    const sparse = join(
      meta('g', pax([['uid', '5']])),
      meta(
        'x',
        pax([
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.minor', '0'],
          ['GNU.sparse.realsize', '2000'],
        ]),
      ),
      rawHeader({ name: 'sparse', size: octal(512 + 9) }),
      padded(bytesOf('2\n10\n4\n1000\n5\n')),
      padded(bytesOf('abcdefghi')),
      meta('L', bytesOf(`${'n'.repeat(600)}\0`)),
      rawHeader({ name: 'n' }),
      rawHeader({ name: 'link', type: '1', linkName: 'n', size: octal(4) }),
      padded(bytesOf('link')),
    );
    fc.assert(
      fc.property(
        fc.array(source, { maxLength: 2 }),
        fc.array(fc.nat({ max: 20_000 }), { maxLength: 30 }),
        (sources, places) => {
          const archive = join(sparse, encode(...sources));
          const cuts = places.map((place) => place % archive.length).sort((a, b) => a - b);
          expect(decode(archive, { cuts })).toEqual(decode(archive));
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('hostile bytes', () => {
  const archive = join(
    encode(
      entry('directory', { type: 'directory', mode: 0o755 }),
      entry(`directory/${'é'.repeat(80)}`, {
        body: bytesOf('body'.repeat(300)),
        mtime: -5,
        xattrs: { 'user.a': bytesOf('\0') },
      }),
      entry('link', { type: 'symlink', linkTarget: 'directory' }),
    ).slice(0, -1024),
    meta(
      'x',
      pax([
        ['GNU.sparse.map', '0,10,100,20'],
        ['GNU.sparse.size', '200'],
        ['GNU.sparse.name', 'sparse'],
      ]),
    ),
    rawHeader({ name: 'x', size: octal(30) }),
    padded(bytesOf('s'.repeat(30))),
    meta('L', bytesOf('long name\0')),
    rawHeader({ name: 'long', magic: 'ustar  \0', type: '1', linkName: 'link', size: octal(1) }),
    end,
  );

  /** Decodes and returns whether that worked; throws whatever is not ours to throw. */
  function survives(bytes: Uint8Array): boolean {
    try {
      decode(bytes, { limits: { inflatedBytes: 1 << 20 } });
      return true;
    } catch (error) {
      if (error instanceof StowageError && /^(TAR_INVALID|TAR_TRUNCATED|LIMIT_EXCEEDED)$/.test(error.code))
        return false;
      throw error;
    }
  }

  /** Puts right checksums wherever a header may start, so that changes reach what lies behind them. */
  function mend(bytes: Uint8Array): Uint8Array {
    for (let at = 0; at + 512 <= bytes.length; at += 512) {
      if (String.fromCharCode(...bytes.subarray(at + 257, at + 262)) !== 'ustar') continue;
      let sum = 256;
      for (let index = at; index < at + 512; index++) if (index < at + 148 || index >= at + 156) sum += bytes[index]!;
      bytes.set(bytesOf(`${sum.toString(8).padStart(6, '0')}\0 `), at + 148);
    }
    return bytes;
  }

  const change = fc.tuple(fc.nat({ max: archive.length - 1 }), fc.nat({ max: 255 }));

  test('a mutated archive is read or refused', () => {
    expect(survives(archive)).toBe(true);
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.boolean(), (changes, mended) => {
        const bytes = archive.slice();
        for (const [at, value] of changes) bytes[at] = value;
        survives(mended ? mend(bytes) : bytes);
      }),
      { numRuns: 2000 },
    );
  });

  test('an archive with a part cut out or doubled is read or refused', () => {
    fc.assert(
      fc.property(fc.nat({ max: archive.length }), fc.nat({ max: archive.length }), (from, to) => {
        survives(join(archive.subarray(0, from), archive.subarray(to)));
      }),
      { numRuns: 1000 },
    );
  });

  test('random headers with right checksums are read or refused', () => {
    const text = fc.array(fc.constantFrom('0', '7', ' ', '\0', '9', '-', '\x80', '\xff', 'a', '/'), { maxLength: 12 });
    const value = text.map((characters) => characters.join(''));
    const header = fc.record(
      {
        name: value,
        mode: value,
        size: value,
        mtime: value,
        linkName: value,
        type: fc.constantFrom(...'01234567SxgLKVMDNAXZ\0'),
        magic: fc.constantFrom('', 'ustar\x0000', 'ustar  \0'),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(header, { maxLength: 4 }), fc.uint8Array({ maxLength: 600 }), (headers, rest) => {
        survives(join(...headers.map((fields) => rawHeader(fields)), rest));
      }),
      { numRuns: 1000 },
    );
  });

  test('random PAX records and sparse maps are read or refused', () => {
    const key = fc.constantFrom(
      ...['path', 'size', 'uid', 'mtime', 'GNU.sparse.map', 'GNU.sparse.size', 'GNU.sparse.major', 'GNU.sparse.minor'],
      ...[
        'GNU.sparse.offset',
        'GNU.sparse.numbytes',
        'GNU.sparse.realsize',
        'SCHILY.xattr.a',
        'LIBARCHIVE.xattr.%',
        'x',
      ],
    );
    const value = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'0123,.-a=\0\n'), maxLength: 12 }),
      fc.constantFrom('0', '1', '512'),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 6 }), value, (records, body) => {
        survives(
          join(meta('x', pax(records)), rawHeader({ name: 'a', size: octal(512) }), padded(bytesOf(`${body}\n`)), end),
        );
      }),
      { numRuns: 1000 },
    );
  });
});

describe('names', () => {
  test('any bytes come back from text as they were', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(encodeText(decodeText(bytes))).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  test('what is UTF-8 is read as any UTF-8 decoder reads it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        expect(decodeText(bytesOf(text))).toBe(text);
        expect(isEscaped(text)).toBe(false);
      }),
    );
  });

  test.each<[string, number[], string]>([
    ['an overlong slash', [0xc0, 0xaf], '\udcc0\udcaf'],
    ['a surrogate', [0xed, 0xa0, 0x80], '\udced\udca0\udc80'],
    ['what is past U+10FFFF', [0xf4, 0x90, 0x80, 0x80], '\udcf4\udc90\udc80\udc80'],
    ['a sequence that is cut', [0x61, 0xe2, 0x82], 'a\udce2\udc82'],
    ['a byte amid text', [0xc3, 0xa9, 0xff, 0xf0, 0x9f, 0x98, 0x80], 'é\udcff😀'],
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x61], '\ufeffa'],
  ])('%s is not lost', (_, bytes, text) => {
    expect(decodeText(Uint8Array.from(bytes))).toBe(text);
    expect(encodeText(text)).toEqual(Uint8Array.from(bytes));
  });

  test('a lone surrogate that stands for no byte is no name', () => {
    expect(encodeText('a\ud800')).toBe(undefined);
    expect(encodeText('\udc00')).toBe(undefined);
  });
});
