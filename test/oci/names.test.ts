/** The names in documents: digests, media types, platforms and references. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestMatch } from '../../src/image/best-match.ts';
import {
  formatPlatform,
  formatReference,
  isConfig,
  isDigest,
  isIndex,
  isLayer,
  isManifest,
  isNonDistributable,
  layerCompression,
  matchesPlatform,
  mediaTypes,
  normalizePlatform,
  type Platform,
  parseDigest,
  parsePlatform,
  parseReference,
  StowageError,
} from '../../src/oci/index.ts';
import { parsePlatforms } from '../../src/oci/platform.ts';

function codeOf(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    if (error instanceof StowageError) return error.code;
    throw error;
  }
  return 'none';
}

function messageOf(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

describe('digests', () => {
  test('are taken apart', () => {
    for (const [algorithm, length] of [
      ['sha256', 64],
      ['sha384', 96],
      ['sha512', 128],
    ] as const) {
      const encoded = '0f'.repeat(length / 2);
      expect(parseDigest(`${algorithm}:${encoded}`)).toEqual({ algorithm, encoded });
      expect(isDigest(`${algorithm}:${encoded}`)).toBe(true);
    }
  });
  test.each([
    '',
    'sha256',
    'sha256:',
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'a'.repeat(65)}`,
    `sha256:${'A'.repeat(64)}`,
    `SHA256:${'a'.repeat(64)}`,
    `sha256:${'g'.repeat(64)}`,
    `sha256:${'a'.repeat(64)}\n`,
    ` sha256:${'a'.repeat(64)}`,
    `sha512:${'a'.repeat(64)}`,
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    'sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564',
    '__proto__:aa',
    'constructor:aa',
    'sha256:../../x',
    null,
    undefined,
    5,
    {},
  ])('are refused: %j', (text) => {
    expect(codeOf(() => parseDigest(text as string))).toBe('DIGEST_INVALID');
    expect(isDigest(text)).toBe(false);
  });
});

describe('media types', () => {
  test("are known by what they name, Docker's as OCI's", () => {
    const { docker } = mediaTypes;
    for (const type of [mediaTypes.manifest, docker.manifest])
      expect([isManifest(type), isIndex(type)]).toEqual([true, false]);
    for (const type of [mediaTypes.index, docker.manifestList])
      expect([isIndex(type), isManifest(type)]).toEqual([true, false]);
    for (const type of [mediaTypes.config, docker.config])
      expect([isConfig(type), isLayer(type)]).toEqual([true, false]);
    expect(isManifest('')).toBe(false);
  });
  test('of layers tell the compression', () => {
    const { docker } = mediaTypes;
    const table: [string, string | undefined, boolean][] = [
      [mediaTypes.layer, 'none', false],
      [mediaTypes.layerGzip, 'gzip', false],
      [mediaTypes.layerZstd, 'zstd', false],
      [mediaTypes.nonDistributableLayer, 'none', true],
      [mediaTypes.nonDistributableLayerGzip, 'gzip', true],
      [mediaTypes.nonDistributableLayerZstd, 'zstd', true],
      [docker.layer, 'none', false],
      [docker.layerGzip, 'gzip', false],
      [docker.foreignLayer, 'gzip', true],
      ['application/vnd.oci.image.layer.v1.tar+lz4', undefined, false],
      [mediaTypes.empty, undefined, false],
    ];
    for (const [type, compression, nonDistributable] of table) {
      expect([type, layerCompression(type), isNonDistributable(type)]).toEqual([type, compression, nonDistributable]);
      expect(isLayer(type)).toBe(compression !== undefined);
    }
  });
  test('are the same in any case and with parameters', () => {
    expect(isIndex('Application/VND.oci.image.index.v1+json; charset=utf-8')).toBe(true);
    expect(layerCompression(`${mediaTypes.layerGzip.toUpperCase()};a=b`)).toBe('gzip');
  });
});

describe('platforms', () => {
  test.each<[string, Platform]>([
    ['linux/amd64', { os: 'linux', architecture: 'amd64' }],
    ['linux/arm64/v8', { os: 'linux', architecture: 'arm64', variant: 'v8' }],
    ['Linux/AArch64', { os: 'linux', architecture: 'arm64' }],
    ['linux/x86_64', { os: 'linux', architecture: 'amd64' }],
    ['linux/amd64/v1', { os: 'linux', architecture: 'amd64', variant: 'v1' }],
    ['linux/x86-64/v3', { os: 'linux', architecture: 'amd64', variant: 'v3' }],
    ['linux/i686', { os: 'linux', architecture: '386' }],
    ['linux/armhf', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['linux/armel', { os: 'linux', architecture: 'arm', variant: 'v6' }],
    ['linux/arm', { os: 'linux', architecture: 'arm' }],
    ['linux/arm/7', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['macos/arm64', { os: 'darwin', architecture: 'arm64' }],
    [
      'windows(10.0.17763.1+win32k)/amd64',
      { os: 'windows', architecture: 'amd64', 'os.version': '10.0.17763.1', 'os.features': ['win32k'] },
    ],
  ])('are read: %s', (text, expected) => expect(parsePlatform(text)).toEqual(expected));
  test.each([
    '',
    'linux',
    'amd64',
    'linux/',
    '/amd64',
    'linux/amd64/v1/x',
    'linux/am d64',
    'linux(/amd64',
    'a'.repeat(1e6),
    null,
    5,
  ])('are refused: %j', (text) => expect(codeOf(() => parsePlatform(text as string))).toBe('PLATFORM_INVALID'));
  test('are read as a list, each once', () => {
    expect(parsePlatforms('linux/amd64, linux/arm64,linux/aarch64/v8').map(formatPlatform)).toEqual([
      'linux/amd64',
      'linux/arm64',
    ]);
    expect(parsePlatforms(['linux/arm/v7', 'linux/arm']).map(formatPlatform)).toEqual(['linux/arm/v7']);
    expect(codeOf(() => parsePlatforms('linux/amd64,'))).toBe('PLATFORM_INVALID');
  });
  test('are written as they are read', () => {
    for (const text of [
      'linux/amd64',
      'linux/arm64/v8',
      'windows(10.0.17763.1)/amd64',
      'windows(10.0.1+a+b)/amd64',
      'windows(+a)/amd64',
    ])
      expect(formatPlatform(parsePlatform(text))).toBe(text);
  });
  test.each([
    ['aarch64', undefined, 'arm64', undefined],
    ['arm64', 'v8', 'arm64', undefined],
    ['arm64', '8', 'arm64', undefined],
    ['arm64', 'v8.0', 'arm64', undefined],
    ['arm64', '9', 'arm64', 'v9'],
    ['arm64', '9.0', 'arm64', 'v9'],
    ['x86_64', undefined, 'amd64', undefined],
    ['amd64', 'v1', 'amd64', undefined],
    ['AMD64', 'V3', 'amd64', 'v3'],
    ['i386', 'x', '386', undefined],
    ['armhf', undefined, 'arm', 'v7'],
    ['armel', undefined, 'arm', 'v6'],
    ['arm', undefined, 'arm', 'v7'],
    ['arm', '6', 'arm', 'v6'],
    ['riscv64', 'rva20u64', 'riscv64', 'rva20u64'],
  ])('have one normal spelling: %s/%s', (architecture, variant, expected, expectedVariant) => {
    const normal = normalizePlatform({ os: 'Linux', architecture, variant, 'os.version': '1' });
    expect([normal.os, normal.architecture, normal.variant, normal['os.version']]).toEqual([
      'linux',
      expected,
      expectedVariant,
      '1',
    ]);
  });
  const anyPlatform = fc.record(
    {
      os: fc.oneof(fc.string(), fc.constantFrom('linux', 'windows', 'macOS')),
      architecture: fc.oneof(
        fc.string(),
        fc.constantFrom(
          'arm',
          'armhf',
          'armel',
          'arm64',
          'aarch64',
          'AMD64',
          'x86_64',
          'i386',
          '__proto__',
          'constructor',
        ),
      ),
      variant: fc.oneof(fc.string(), fc.constantFrom('', 'v8', '8', 'v8.0', '9', '9.0', 'v9.0', 'V7', '7', 'v1')),
      'os.version': fc.string(),
    },
    { requiredKeys: ['os', 'architecture'], noNullPrototype: true },
  );
  test('are normal after one normalisation, match themselves, and are their own best match', () => {
    fc.assert(
      fc.property(anyPlatform, (one) => {
        const normal = normalizePlatform(one);
        expect(normalizePlatform(normal)).toEqual(normal);
        expect(matchesPlatform(one, one)).toBe(true);
        expect(matchesPlatform(normal, one)).toBe(true);
        expect(bestMatch([one], { ...one, 'os.version': undefined })).toBe(one);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          const parsed = parsePlatform(text);
          expect(parsePlatform(formatPlatform(parsed))).toEqual(parsed);
        } catch (error) {
          if (!(error instanceof StowageError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
  test('match where the target states no more than they do', () => {
    const matches = (one: string, target: string) => matchesPlatform(parsePlatform(one), parsePlatform(target));
    expect(matches('linux/amd64', 'linux/amd64')).toBe(true);
    expect(matches('linux/amd64', 'windows/amd64')).toBe(false);
    expect(matches('linux/arm64', 'linux/arm64/v8')).toBe(true);
    expect(matches('linux/arm64/v8', 'linux/arm64')).toBe(true);
    expect(matches('linux/arm64/v9', 'linux/arm64/v8')).toBe(false);
    expect(matches('linux/amd64', 'linux/amd64/v1')).toBe(true);
    expect(matches('linux/amd64/v3', 'linux/amd64/v1')).toBe(false);
    expect(matches('linux/arm/v6', 'linux/arm')).toBe(true);
    expect(matches('linux/arm/v6', 'linux/arm/v7')).toBe(false);
    expect(matches('linux/arm', 'linux/arm/v7')).toBe(true);
    expect(
      matchesPlatform({ os: 'linux', architecture: 'arm', variant: 'v6' }, { os: 'linux', architecture: 'armhf' }),
    ).toBe(false);
  });
  const best = (target: string, ...texts: string[]) => {
    const found = bestMatch(texts.map(parsePlatform), parsePlatform(target));
    return found && formatPlatform(found);
  };
  test('give the closest variant that the target can run', () => {
    expect(best('linux/arm/v7', 'linux/arm/v5', 'linux/arm/v6', 'linux/arm/v8')).toBe('linux/arm/v6');
    expect(best('linux/arm/v7', 'linux/arm/v5', 'linux/arm/v7', 'linux/arm/v6')).toBe('linux/arm/v7');
    expect(best('linux/arm', 'linux/arm/v5')).toBe('linux/arm/v5');
    expect(best('linux/arm/v6', 'linux/arm/v7')).toBeUndefined();
    expect(best('linux/amd64/v3', 'linux/amd64', 'linux/amd64/v4', 'linux/amd64/v2')).toBe('linux/amd64/v2');
    expect(best('linux/amd64/v3', 'linux/386', 'linux/amd64')).toBe('linux/amd64');
    expect(best('linux/amd64', 'linux/amd64/v2')).toBeUndefined();
    expect(best('linux/arm64', 'linux/arm64/v8')).toBe('linux/arm64/v8');
    expect(best('linux/arm64/v9', 'linux/arm64/v8.6', 'linux/arm64/v8.5', 'linux/arm64')).toBe('linux/arm64/v8.5');
    expect(best('linux/arm64/v8.9', 'linux/arm64/v9', 'linux/arm64')).toBe('linux/arm64');
    expect(best('linux/ppc64le/power9', 'linux/ppc64le/power10', 'linux/ppc64le')).toBe('linux/ppc64le');
  });
  test('of Windows run by build', () => {
    const old = ['windows(10.0.14393.1)/amd64', 'windows(10.0.17763.5)/amd64', 'windows(10.0.20348.2)/amd64'];
    expect(best('windows(10.0.17763.99)/amd64', ...old)).toBe(old[1]);
    expect(best('windows(10.0.26100.1)/amd64', ...old)).toBe(old[2]);
    expect(best('windows(10.0.20348.1)/amd64', old[0]!, old[1]!)).toBeUndefined();
    expect(best('windows/amd64', 'windows(10.0.17763+win32k)/amd64')).toBe('windows(10.0.17763+win32k)/amd64');
    expect(best('linux/amd64', 'linux(+special)/amd64', 'linux/amd64')).toBe('linux/amd64');
  });
  test('choose among descriptors, and pass over those that have none', () => {
    const descriptors = [
      { id: 1 },
      { id: 2, platform: { os: 'linux', architecture: 'arm', variant: 'v6' } },
      { id: 3, platform: { os: 'unknown', architecture: 'unknown' } },
    ];
    expect(bestMatch(descriptors, parsePlatform('linux/arm/v7'))?.id).toBe(2);
    expect(bestMatch(descriptors, parsePlatform('linux/amd64'))).toBeUndefined();
  });
});

describe('references', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  test.each([
    ['alpine', 'docker.io/library/alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20'],
    ['docker.io/alpine', 'docker.io/library/alpine:latest'],
    ['index.docker.io/library/alpine', 'docker.io/library/alpine:latest'],
    ['org/app', 'docker.io/org/app:latest'],
    [`ghcr.io/o/a@${digest}`, `ghcr.io/o/a@${digest}`],
    [`ghcr.io/o/a:1@${digest}`, `ghcr.io/o/a:1@${digest}`],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`],
    ['localhost:5000/x:y', 'localhost:5000/x:y'],
    ['localhost/x', 'localhost/x:latest'],
    ['localhost:5000', 'docker.io/library/localhost:5000'],
    ['[::1]:5000/a/b', '[::1]:5000/a/b:latest'],
    ['[fe80::1]/a', '[fe80::1]/a:latest'],
    ['127.0.0.1:80/a__b/c---d/e.f_g', '127.0.0.1:80/a__b/c---d/e.f_g:latest'],
    ['Registry.Example.com/a', 'Registry.Example.com/a:latest'],
  ])('%s is %s', (text, canonical) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(canonical);
    expect(parseReference(canonical)).toEqual(reference);
  });
  test.each([
    ['', 'repository'],
    ['Alpine', 'lower-case'],
    ['ghcr.io/Foo/bar', 'lower-case'],
    ['Foo/bar', 'lower-case'],
    ['a/', 'repository'],
    ['a//b', 'repository'],
    ['a..b', 'repository'],
    ['-a', 'repository'],
    ['a:', 'tag'],
    ['a:.x', 'tag'],
    [`a:${'x'.repeat(129)}`, 'tag'],
    [`a/${'x'.repeat(254)}`, 'repository'],
    ['a@', 'digest'],
    ['a@sha256:abc', 'digest'],
    [`a@sha256:${'A'.repeat(64)}`, 'digest'],
    ['https://ghcr.io/a', 'registry'],
    ['ex_ample.com/a', 'registry'],
    ['example-.com/a', 'registry'],
    ['example..com/a', 'registry'],
    [`${'a'.repeat(252)}.com/a`, 'registry'],
    ['example.com:x/a', 'registry'],
    ['[::g]/a', 'registry'],
    ['a'.repeat(64), 'name such as'],
    ['a b', 'repository'],
    ['a\n', 'repository'],
    [`a@${digest}@${digest}`, 'digest'],
    [undefined, 'name such as'],
    [5, 'name such as'],
  ])('%j is refused, and the message says why', (text, word) => {
    expect(codeOf(() => parseReference(text as string))).toBe('REFERENCE_INVALID');
    expect(messageOf(() => parseReference(text as string))).toContain(word);
  });
  test('the longest tag and repository are taken', () => {
    expect(parseReference(`a/${'x'.repeat(253)}:${'t'.repeat(128)}`).tag).toHaveLength(128);
  });
  test('every reference that is read is written and read back the same', () => {
    const word = fc.string({ unit: fc.constantFrom(...'ab0._-'), minLength: 1, maxLength: 6 });
    const parts = fc.record({
      host: fc.constantFrom(
        '',
        'localhost/',
        'example.com/',
        'host:5000/',
        '[::1]:80/',
        'docker.io/',
        'index.docker.io/',
      ),
      path: fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join('/')),
      tag: fc.oneof(
        fc.constant(''),
        word.map((tag) => `:${tag}`),
      ),
      digest: fc.constantFrom('', `@${digest}`),
    });
    const built = parts.map(({ host, path, tag, digest: end }) => host + path + tag + end);
    fc.assert(
      fc.property(fc.oneof(built, fc.string()), (text) => {
        try {
          const reference = parseReference(text);
          expect(parseReference(formatReference(reference))).toEqual(reference);
        } catch (error) {
          if (!(error instanceof StowageError)) throw error;
          expect(error.code).toBe('REFERENCE_INVALID');
        }
      }),
      { numRuns: 1000 },
    );
  });
  test('long hostile text is refused at once', () => {
    for (const text of [
      'a'.repeat(1e6),
      'a-'.repeat(1e5),
      'a.'.repeat(1e5),
      `${'a.'.repeat(1e5)}/x`,
      '/'.repeat(1e5),
      ':'.repeat(1e5),
    ])
      expect(codeOf(() => parseReference(text))).toBe('REFERENCE_INVALID');
  });
});
