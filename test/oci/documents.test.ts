/** The documents as users read and write them: the specification's examples, and every refusal by its field. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { descriptorData } from '../../src/oci/descriptor.ts';
import { checkRefName } from '../../src/oci/image-layout.ts';
import {
  annotationKeys,
  checkAnnotations,
  checkDescriptor,
  type Descriptor,
  type ErrorCode,
  emptyDescriptor,
  type ImageConfig,
  type ImageIndex,
  imageIndex,
  type Manifest,
  mediaTypes,
  parseImageConfig,
  parseJson,
  parseLayoutHeader,
  parseManifest,
  StowageError,
  serializeImageConfig,
  serializeIndex,
  serializeJson,
  serializeLayoutHeader,
  serializeManifest,
} from '../../src/oci/index.ts';

const hex = (digit: string): string => `sha256:${digit.repeat(64)}`;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

function refusalOf(task: () => unknown): StowageError {
  try {
    task();
  } catch (error) {
    if (error instanceof StowageError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const expectRefusal = (task: () => unknown, code: ErrorCode, ...words: string[]): void => {
  const error = refusalOf(task);
  expect([error.code, error.message]).toEqual([code, error.message]);
  for (const word of words) expect(error.message).toContain(word);
};

const manifestText =
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",' +
  `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"${hex('a')}","size":7023},` +
  `"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"${hex('b')}","size":32654},` +
  `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"${hex('c')}","size":16724,"urls":["https://example.com/c"]}],` +
  `"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"${hex('d')}","size":7682},` +
  '"annotations":{"com.example.key1":"value1","com.example.key2":""}}';

const indexText =
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[' +
  `{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7143,"digest":"${hex('1')}",` +
  '"platform":{"architecture":"arm","os":"linux","variant":"v7"}},' +
  `{"mediaType":"application/vnd.oci.image.index.v1+json","size":7682,"digest":"${hex('2')}",` +
  '"annotations":{"org.opencontainers.image.ref.name":"stable"}},' +
  `{"mediaType":"application/xml","size":0,"digest":"${hex('3')}"}],` +
  '"annotations":{"com.example.index.revision":"r124356"}}';

const configText =
  '{"created":"2015-10-31T22:22:56.015925234Z","author":"A. Hacker <a@example.com>","architecture":"arm64","os":"linux",' +
  '"os.version":"1","os.features":["x"],"variant":"v8","config":{"User":"alice","ExposedPorts":{"8080/tcp":{}},' +
  '"Env":["PATH=/bin","FOO=<&>"],"Entrypoint":["/bin/app"],"Cmd":["--config","/etc/app.cfg"],"Volumes":{"/data":{}},' +
  '"WorkingDir":"/home/alice","Labels":{"com.example.a":"b"},"StopSignal":"SIGRTMIN+3","ArgsEscaped":true,"Memory":1,' +
  '"MemorySwap":-1,"CpuShares":2,"Healthcheck":{"Test":["NONE"]}},' +
  `"rootfs":{"diff_ids":["${hex('e')}"],"type":"layers"},` +
  '"history":[{"created":"2015-10-31T22:22:54Z","created_by":"ADD file"},{"author":"b","comment":"c","empty_layer":true}]}';

describe('documents keep their bytes when they are read and written', () => {
  test('an image manifest', () => expect(text(serializeManifest(parseManifest(manifestText)))).toBe(manifestText));
  test('an image index', () => {
    expect(imageIndex.toJson(imageIndex.parse(indexText))).toBe(indexText);
    expect(text(serializeIndex(imageIndex.parse(bytes(indexText))))).toBe(indexText);
  });
  test('an image configuration', () =>
    expect(text(serializeImageConfig(parseImageConfig(configText)))).toBe(configText));
  test('a layout header', () => {
    expect(text(serializeLayoutHeader())).toBe('{"imageLayoutVersion":"1.0.0"}');
    const header = parseLayoutHeader('{"x":[1],"imageLayoutVersion":"1.0.0"}');
    expect(text(serializeLayoutHeader(header))).toBe('{"imageLayoutVersion":"1.0.0","x":[1]}');
  });
  test('Docker schema 2 documents keep their own types', () => {
    const manifest = parseManifest(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.docker.manifest,
        config: { mediaType: mediaTypes.docker.config, size: 1, digest: hex('a') },
        layers: [{ mediaType: mediaTypes.docker.layerGzip, size: 2, digest: hex('b') }],
      }),
      { mediaType: mediaTypes.docker.manifest },
    );
    expect([manifest.mediaType, manifest.layers[0]!.mediaType]).toEqual([
      mediaTypes.docker.manifest,
      mediaTypes.docker.layerGzip,
    ]);
    const list = imageIndex.parse(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.docker.manifestList, manifests: [] }),
    );
    expect(list.mediaType).toBe(mediaTypes.docker.manifestList);
  });
});

test('whatever order a document has, it is written in that of the specification, with unknown fields last', () => {
  const manifest = {
    'x-last': { b: 1, a: [null] },
    layers: [],
    config: { zz: true, size: 1, digest: hex('a'), mediaType: 'a/b' },
    schemaVersion: 2,
  } as unknown as Manifest;
  expect(text(serializeManifest(manifest))).toBe(
    `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${hex('a')}","size":1,"zz":true},"layers":[],"x-last":{"b":1,"a":[null]}}`,
  );
  expect(text(serializeJson({ c: 1, b: undefined, a: '<&>\u2028' }, ['a', 'b']))).toBe('{"a":"<&>\u2028","c":1}');
  expectRefusal(() => serializeJson(1n), 'JSON_INVALID');
  expectRefusal(() => serializeJson(undefined), 'JSON_INVALID');
  expectRefusal(() => serializeJson(JSON.parse('{"a":{"__proto__":1}}')), 'JSON_INVALID', '__proto__');
  expect(text(serializeJson({ a: '"__proto__":' }))).toBe('{"a":"\\"__proto__\\":"}');
});

test('optional fields that are null are as absent, and unknown ones keep their null', () => {
  const config = parseImageConfig(
    `{"created":null,"author":null,"architecture":"a","os":"b","variant":null,"config":{"Cmd":null,"Volumes":null,"OnBuild":null},"rootfs":{"type":"layers","diff_ids":[]},"history":null,"x":null}`,
  );
  expect(config).toEqual({
    architecture: 'a',
    os: 'b',
    config: { OnBuild: null },
    rootfs: { type: 'layers', diff_ids: [] },
    x: null,
  });
  expect(
    parseManifest(manifestText.replace('"annotations":', '"artifactType":null,"x":')).artifactType,
  ).toBeUndefined();
});

describe('JSON is refused', () => {
  const read = (value: Uint8Array | string) => parseJson(value, { what: 'thing' });
  test.each([
    '',
    '  ',
    '{"a":x}',
    '{"a":1,}',
    '[1,2',
    '[1 2]',
    '{a:1}',
    '{"a" 1}',
    '{"a":1}}',
    '[1]x',
    '{"a":"b\nc"}',
    '[01]',
    '{"a":[1}',
    '{,}',
    'nulL',
    '["\\x"]',
  ])('where its grammar breaks, with what the runtime says of it: %j', (broken) => {
    const error = refusalOf(() => read(broken));
    expect([error.code, error.details.what]).toEqual(['JSON_INVALID', 'thing']);
    expect(error.cause).toBeInstanceOf(SyntaxError);
    expect(error.message).toContain((error.cause as SyntaxError).message);
  });
  test('that is not UTF-8, or starts with a byte order mark', () => {
    expectRefusal(() => read(Uint8Array.of(0x22, 0xff, 0x22)), 'JSON_INVALID', 'thing', 'UTF-8');
    expectRefusal(() => read(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31)), 'JSON_INVALID', 'byte order mark');
    expectRefusal(() => read('\ufeff1'), 'JSON_INVALID', 'byte order mark');
  });
  test('with a key __proto__ at any depth, however it is spelled', () => {
    expectRefusal(() => read('{"__proto__":{}}'), 'JSON_INVALID', '__proto__');
    expectRefusal(() => read('[{"a":{"\\u005f_proto__":1}}]'), 'JSON_INVALID', '__proto__');
    expectRefusal(() => parseManifest('{"__proto__":{"schemaVersion":2}}'), 'JSON_INVALID');
    const own = JSON.parse(manifestText.replace('{"sch', '{"__proto__":{"polluted":1},"sch')) as Manifest;
    expect(Object.getPrototypeOf(parseManifest(serializeJson({ ...own, ['__proto__']: undefined })))).toBe(
      Object.prototype,
    );
    expectRefusal(() => serializeManifest(own), 'JSON_INVALID', '__proto__');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
  test('that nests too deeply, without exhausting the stack', () => {
    for (const depth of [101, 5000, 800_000]) {
      const error = refusalOf(() => read('['.repeat(depth) + ']'.repeat(depth)));
      expect(error.code).toBe('JSON_INVALID');
      expect(refusalOf(() => read('{"a":'.repeat(depth))).code).toBe('JSON_INVALID');
    }
    expect(read(`${'['.repeat(100)}${']'.repeat(100)}`)).toBeDefined();
  });
  test('past the limit of bytes, which counts bytes and can be raised', () => {
    expectRefusal(() => parseJson('"ääää"', { what: 'thing', limits: { jsonBytes: 9 } }), 'LIMIT_EXCEEDED', 'thing');
    expect(parseJson('"ääää"', { what: 'thing', limits: { jsonBytes: 10 } })).toBe('ääää');
    expectRefusal(() => parseManifest(new Uint8Array(4 * 1024 * 1024 + 1)), 'LIMIT_EXCEEDED', 'manifest', 'jsonBytes');
  });
  test('when a string of millions of characters is broken, in a short sentence', () => {
    const error = refusalOf(() => read(`{"a":"${'x'.repeat(3_000_000)}"`));
    expect(error.code).toBe('JSON_INVALID');
    expect(error.message.length).toBeLessThan(300);
    expect(refusalOf(() => read(`"${'\\n'.repeat(1_500_000)}`)).code).toBe('JSON_INVALID');
  });
});

describe('a refused document names the field and what it should be', () => {
  const set = (document: string, path: (string | number)[], value: unknown): string => {
    const root = JSON.parse(document) as Record<string | number, unknown>;
    let node = root;
    for (const step of path.slice(0, -1)) node = node[step] as Record<string | number, unknown>;
    node[path.at(-1)!] = value;
    return JSON.stringify(root);
  };
  test.each<[path: (string | number)[], value: unknown, code: ErrorCode, field: string]>([
    [['schemaVersion'], 3, 'MANIFEST_INVALID', 'schemaVersion'],
    [['schemaVersion'], undefined, 'MANIFEST_INVALID', 'schemaVersion'],
    [['mediaType'], 5, 'MANIFEST_INVALID', 'mediaType'],
    [['mediaType'], mediaTypes.index, 'MANIFEST_INVALID', 'mediaType'],
    [['mediaType'], 'application/x', 'MEDIA_TYPE_UNSUPPORTED', 'mediaType'],
    [['artifactType'], 'no type', 'MANIFEST_INVALID', 'artifactType'],
    [['config'], undefined, 'DESCRIPTOR_INVALID', 'config'],
    [['config', 'size'], -1, 'DESCRIPTOR_INVALID', 'config.size'],
    [['layers'], {}, 'MANIFEST_INVALID', 'layers'],
    [['layers'], null, 'MANIFEST_INVALID', 'layers'],
    [['layers', 1], 'x', 'DESCRIPTOR_INVALID', 'layers[1]'],
    [['layers', 1, 'size'], 1.5, 'DESCRIPTOR_INVALID', 'layers[1].size'],
    [['layers', 1, 'size'], '12', 'DESCRIPTOR_INVALID', 'layers[1].size'],
    [['layers', 1, 'size'], 2 ** 53, 'DESCRIPTOR_INVALID', 'layers[1].size'],
    [['layers', 0, 'digest'], 'sha256:abc', 'DESCRIPTOR_INVALID', 'layers[0].digest'],
    [['layers', 0, 'mediaType'], '', 'DESCRIPTOR_INVALID', 'layers[0].mediaType'],
    [['layers', 0, 'urls'], ['a', 1], 'DESCRIPTOR_INVALID', 'layers[0].urls[1]'],
    [['layers', 0, 'annotations'], { 'a.b': 1 }, 'DESCRIPTOR_INVALID', 'layers[0].annotations["a.b"]'],
    [['layers', 0, 'platform'], { os: 'linux' }, 'DESCRIPTOR_INVALID', 'layers[0].platform.architecture'],
    [['subject', 'digest'], undefined, 'DESCRIPTOR_INVALID', 'subject.digest'],
    [['annotations'], [], 'MANIFEST_INVALID', 'annotations'],
    [['annotations', 'x'], null, 'MANIFEST_INVALID', 'annotations["x"]'],
    [['manifests'], [], 'MANIFEST_INVALID', 'manifests'],
    [['manifests'], null, 'MANIFEST_INVALID', 'manifests'],
    [['fsLayers'], [], 'MANIFEST_INVALID', 'fsLayers'],
  ])('manifest: %j', (path, value, code, field) => {
    const error = refusalOf(() => parseManifest(set(manifestText, path, value), { what: 'manifest sha256:1' }));
    expect([error.code, error.details.field]).toEqual([code, field]);
    expect(error.message).toContain(`manifest sha256:1: ${field} must be `);
  });
  test.each<[path: (string | number)[], value: unknown, code: ErrorCode, field: string]>([
    [['manifests'], undefined, 'INDEX_INVALID', 'manifests'],
    [['manifests', 2, 'size'], -5, 'DESCRIPTOR_INVALID', 'manifests[2].size'],
    [['manifests', 0, 'platform', 'os.features'], 'x', 'DESCRIPTOR_INVALID', 'manifests[0].platform.os.features'],
    [['mediaType'], mediaTypes.manifest, 'INDEX_INVALID', 'mediaType'],
    [['mediaType'], 'application/x', 'MEDIA_TYPE_UNSUPPORTED', 'mediaType'],
    [['config'], {}, 'INDEX_INVALID', 'config'],
    [['layers'], [], 'INDEX_INVALID', 'layers'],
  ])('index: %j', (path, value, code, field) => {
    const error = refusalOf(() => imageIndex.parse(set(indexText, path, value)));
    expect([error.code, error.details.field]).toEqual([code, field]);
  });
  test.each<[path: (string | number)[], value: unknown, field: string]>([
    [['created'], '31 October 2015', 'created'],
    [['created'], '2015-02-30T00:00:00Z', 'created'],
    [['created'], '2015-10-31T24:00:00Z', 'created'],
    [['created'], '2015-10-31T22:22:56', 'created'],
    [['architecture'], undefined, 'architecture'],
    [['os'], null, 'os'],
    [['variant'], 7, 'variant'],
    [['os.features'], ['a', 2], 'os.features[1]'],
    [['config'], 'x', 'config'],
    [['config', 'User'], 0, 'config.User'],
    [['config', 'ExposedPorts'], ['80'], 'config.ExposedPorts'],
    [['config', 'ExposedPorts', '80'], true, 'config.ExposedPorts["80"]'],
    [['config', 'Env'], 'A=b', 'config.Env'],
    [['config', 'Cmd', 0], 1, 'config.Cmd[0]'],
    [['config', 'Entrypoint'], {}, 'config.Entrypoint'],
    [['config', 'Labels', 'a'], 1, 'config.Labels["a"]'],
    [['config', 'ArgsEscaped'], 'yes', 'config.ArgsEscaped'],
    [['config', 'Memory'], '1', 'config.Memory'],
    [['config', 'Healthcheck'], [], 'config.Healthcheck'],
    [['rootfs'], undefined, 'rootfs'],
    [['rootfs', 'type'], 'tree', 'rootfs.type'],
    [['rootfs', 'diff_ids', 0], hex('E'), 'rootfs.diff_ids[0]'],
    [['history', 1, 'empty_layer'], 1, 'history[1].empty_layer'],
    [['history', 0, 'created'], '', 'history[0].created'],
  ])('config: %j', (path, value, field) => {
    const error = refusalOf(() => parseImageConfig(set(configText, path, value)));
    expect([error.code, error.details.field]).toEqual(['CONFIG_INVALID', field]);
  });
  test('layout: another version, or none', () => {
    expectRefusal(
      () => parseLayoutHeader('{"imageLayoutVersion":"2.0.0"}'),
      'LAYOUT_INVALID',
      'imageLayoutVersion',
      '1.0.0',
    );
    expectRefusal(() => parseLayoutHeader('{}'), 'LAYOUT_INVALID', 'missing');
    expectRefusal(() => parseLayoutHeader('[]'), 'LAYOUT_INVALID', 'an array');
  });
  test('what is built wrongly is not written', () => {
    expectRefusal(() => serializeManifest({ schemaVersion: 2 } as Manifest), 'DESCRIPTOR_INVALID', 'config');
    expectRefusal(() => serializeIndex({} as ImageIndex), 'INDEX_INVALID', 'schemaVersion');
    expectRefusal(() => serializeImageConfig({ os: 'x' } as ImageConfig), 'CONFIG_INVALID', 'architecture');
  });
});

describe('one kind of document is never taken for another', () => {
  test('an index given as a manifest and the reverse', () => {
    expectRefusal(() => parseManifest(indexText), 'MANIFEST_INVALID', 'manifests');
    expectRefusal(() => imageIndex.parse(manifestText), 'INDEX_INVALID', 'config');
    expectRefusal(() => parseManifest(manifestText, { mediaType: mediaTypes.index }), 'MANIFEST_INVALID', 'mediaType');
    expectRefusal(() => imageIndex.parse(indexText, { mediaType: mediaTypes.manifest }), 'INDEX_INVALID', 'mediaType');
  });
  test('a document whose media type is not the one that was announced', () => {
    expectRefusal(
      () => parseManifest(manifestText, { mediaType: mediaTypes.docker.manifest }),
      'MANIFEST_INVALID',
      'docker',
    );
    expect(
      parseManifest(manifestText, { mediaType: 'Application/vnd.oci.image.manifest.v1+JSON; charset=utf-8' }).layers,
    ).toHaveLength(2);
  });
  test("Docker's schema 1", () => {
    const schema1 = '{"schemaVersion":1,"name":"a","fsLayers":[{"blobSum":"x"}],"history":[]}';
    expectRefusal(() => parseManifest(schema1), 'MEDIA_TYPE_UNSUPPORTED', 'schema 1');
    const signed = manifestText.replace(
      mediaTypes.manifest,
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
    );
    expectRefusal(() => parseManifest(signed), 'MEDIA_TYPE_UNSUPPORTED', 'v1+prettyjws');
  });
  test('an empty config asks for an artifactType', () => {
    const manifest = { schemaVersion: 2, config: emptyDescriptor, layers: [emptyDescriptor] };
    expectRefusal(() => parseManifest(JSON.stringify(manifest)), 'MANIFEST_INVALID', 'artifactType');
    expect(parseManifest(JSON.stringify({ ...manifest, artifactType: 'a/b' })).artifactType).toBe('a/b');
  });
});

describe('descriptors', () => {
  const descriptor: Descriptor = { mediaType: 'text/plain', digest: hex('a'), size: 3, data: 'YWJj' };
  test('carry content that is as long as they say', () => {
    expect(text(descriptorData(descriptor)!)).toBe('abc');
    expect(text(descriptorData(emptyDescriptor)!)).toBe('{}');
    expect(descriptorData({ ...descriptor, data: undefined })).toBeUndefined();
    expect(descriptorData({ ...descriptor, data: '', size: 0 })).toHaveLength(0);
    for (const data of ['YWJjZA==', 'YWJ', 'YW-j', '====', 'YWJj\n', 'Y=Jj'])
      expectRefusal(
        () => checkDescriptor({ ...descriptor, data }, 'layers[4]'),
        'DESCRIPTOR_INVALID',
        'layers[4].data',
      );
    expectRefusal(() => descriptorData({ ...descriptor, size: 2 }), 'DESCRIPTOR_INVALID', 'data');
    const large = { ...descriptor, data: 'AAAA'.repeat(1_000_000), size: 3_000_000 };
    expect(descriptorData(large)).toHaveLength(3_000_000);
  });
  test('of unknown media types and unknown digest algorithms pass, as the specification asks', () => {
    const odd = { mediaType: 'application/x.y+z; v=1', digest: 'multihash+base58:QmRZxt2b1FVZ', size: 1 };
    expect(checkDescriptor(odd, 'x')).toEqual(odd);
  });
  test('are copied, not changed, by the check', () => {
    const own = { ...descriptor, urls: null };
    expect(checkDescriptor(own, 'x')).toEqual(descriptor);
    expect(own.urls).toBeNull();
  });
});

describe('an image index', () => {
  const index = imageIndex.create([
    [{ os: 'unknown', architecture: 'unknown' }, hex('0'), 1],
    [{ os: 'linux', architecture: 'amd64' }, hex('1'), 1234],
    {
      platform: { os: 'linux', architecture: 'arm', variant: 'v6' },
      digest: hex('2'),
      size: 5,
      annotations: { a: 'b' },
    },
    { platform: { os: 'linux', architecture: 'arm', variant: 'v7' }, digest: hex('3'), size: 6 },
    {
      platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
      digest: hex('4'),
      size: 7,
      mediaType: mediaTypes.docker.manifest,
    },
  ]);
  test('is created from platform, digest and size', () => {
    expect(index.mediaType).toBe(imageIndex.mediaType);
    expect(index.manifests[1]).toEqual({
      mediaType: mediaTypes.manifest,
      digest: hex('1'),
      size: 1234,
      platform: { os: 'linux', architecture: 'amd64' },
    });
    expect(index.manifests[2]!.annotations).toEqual({ a: 'b' });
    expect(index.manifests[4]!.mediaType).toBe(mediaTypes.docker.manifest);
    expect(imageIndex.create([]).manifests).toEqual([]);
    expectRefusal(
      () => imageIndex.create([[{ os: 'a', architecture: 'b' }, 'x', 1]]),
      'DESCRIPTOR_INVALID',
      'manifests[0].digest',
    );
  });
  test('gives the first manifest that matches, or undefined', () => {
    const select = (os: string, architecture: string, variant?: string) =>
      imageIndex.selectManifest(index, { os, architecture, variant })?.digest;
    expect(select('linux', 'amd64')).toBe(hex('1'));
    expect(select('linux', 'arm')).toBe(hex('2'));
    expect(select('linux', 'arm', 'v7')).toBe(hex('3'));
    expect(select('linux', 'arm', 'v5')).toBeUndefined();
    expect(select('linux', 'arm64')).toBe(hex('4'));
    expect(select('linux', 'aarch64', 'v8')).toBe(hex('4'));
    expect(select('windows', 'amd64')).toBeUndefined();
    expect(select('unknown', 'unknown')).toBeUndefined();
    expect(
      imageIndex.selectManifest(imageIndex.parse(indexText), { os: 'linux', architecture: 'riscv64' }),
    ).toBeUndefined();
  });
});

test('names of references in a layout keep the grammar of the specification', () => {
  for (const name of ['v1.0', 'a', 'docker.io/library/alpine:3.20', 'a--b', 'A@b+c', '1/2/3'])
    expect(checkRefName(name)).toBe(name);
  for (const name of ['', '-a', 'a-', 'a---b', 'a b', 'a//b', '/a', 'a..b', 'ä', 'a'.repeat(5000)])
    expectRefusal(() => checkRefName(name), 'REFERENCE_INVALID');
  expectRefusal(() => checkRefName(undefined as unknown as string), 'REFERENCE_INVALID');
});

test('annotations are strings by strings', () => {
  expect(checkAnnotations({ [annotationKeys.title]: '', x: 'y' })).toEqual({
    'org.opencontainers.image.title': '',
    x: 'y',
  });
  expectRefusal(() => checkAnnotations({ 'a.b': 5 }), 'ARGUMENT_INVALID', 'annotations["a.b"]');
  expectRefusal(() => checkAnnotations(null), 'ARGUMENT_INVALID');
});

describe('whatever comes in', () => {
  const readers: ((value: Uint8Array | string) => unknown)[] = [
    parseManifest,
    imageIndex.parse,
    parseImageConfig,
    parseLayoutHeader,
  ];
  const resultOrRefusal = (value: Uint8Array | string): void => {
    for (const read of readers) {
      try {
        read(value);
      } catch (error) {
        if (!(error instanceof StowageError)) throw error;
        expect(error.message.length).toBeLessThan(600);
      }
    }
  };
  test('arbitrary JSON and arbitrary bytes give a result or a StowageError', () => {
    fc.assert(fc.property(fc.json({ maxDepth: 6 }), resultOrRefusal), { numRuns: 500 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), resultOrRefusal), { numRuns: 500 });
    for (const odd of [undefined, null, 5, {}, [], Symbol('x')]) {
      for (const read of readers) expect(refusalOf(() => read(odd as unknown as string)).code).toBe('JSON_INVALID');
    }
  });
  test('any value in the place of any field gives a result or a StowageError', () => {
    const paths = (node: unknown): string[][] =>
      typeof node === 'object' && node
        ? Object.entries(node).flatMap(([key, item]) => [[key], ...paths(item).map((path) => [key, ...path])])
        : [];
    const documents = [manifestText, indexText, configText];
    const places = documents.flatMap((document) =>
      paths(JSON.parse(document)).map((path) => [document, path] as const),
    );
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.jsonValue(), ([document, path], value) => {
        const root = JSON.parse(document) as Record<string, unknown>;
        let node = root;
        for (const step of path.slice(0, -1)) node = node[step] as Record<string, unknown>;
        node[path.at(-1)!] = value;
        resultOrRefusal(JSON.stringify(root));
      }),
      { numRuns: 1000 },
    );
  });
  test('a flipped byte gives a result or a StowageError', () => {
    fc.assert(
      fc.property(fc.constantFrom(manifestText, indexText, configText), fc.nat(), fc.nat(255), (document, at, byte) => {
        const mutated = bytes(document);
        mutated[at % mutated.length] = byte;
        resultOrRefusal(mutated);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('unknown fields survive', () => {
  const name = fc
    .string({ minLength: 1 })
    .filter((key) => key !== '__proto__')
    .map((key) => `x-${key}`);
  const unknown = fc.dictionary(
    name,
    fc.jsonValue({ maxDepth: 3 }).filter((value) => !JSON.stringify(value).includes('__proto__')),
    { maxKeys: 4, noNullPrototype: true },
  );
  const digest = fc
    .string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 })
    .map((d) => `sha256:${d}`);
  const strings = fc.dictionary(name, fc.string(), { maxKeys: 3, noNullPrototype: true });
  const descriptor = fc
    .tuple(
      unknown,
      fc.record(
        {
          mediaType: fc.constantFrom('a/b', mediaTypes.layer),
          digest,
          size: fc.maxSafeNat(),
          annotations: strings,
          urls: fc.array(fc.string()),
        },
        { requiredKeys: ['mediaType', 'digest', 'size'], noNullPrototype: true },
      ),
    )
    .map(([more, fields]) => ({ ...more, ...fields }) as Descriptor);
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

  test('of manifests and indexes', () => {
    fc.assert(
      fc.property(
        descriptor,
        fc.array(descriptor, { maxLength: 3 }),
        unknown,
        strings,
        (config, layers, more, annotations) => {
          const manifest: Manifest = { ...more, schemaVersion: 2, config, layers, annotations };
          const written = serializeManifest(manifest);
          expect(parseManifest(written)).toEqual(plain(manifest));
          expect(serializeManifest(parseManifest(written))).toEqual(written);
          const index: ImageIndex = { ...more, schemaVersion: 2, manifests: layers, subject: config };
          const json = imageIndex.toJson(index);
          expect(imageIndex.parse(json)).toEqual(plain(index));
          expect(imageIndex.toJson(imageIndex.parse(json))).toBe(json);
        },
      ),
      { numRuns: 300 },
    );
  });
  test('of configurations, in every object', () => {
    fc.assert(
      fc.property(unknown, unknown, unknown, unknown, fc.array(digest, { maxLength: 3 }), (a, b, c, d, diffIds) => {
        const config: ImageConfig = {
          ...a,
          os: 'linux',
          architecture: 'amd64',
          config: { ...b, Env: ['A=b'] },
          rootfs: { ...c, type: 'layers', diff_ids: diffIds },
          history: [{ ...d, empty_layer: true }],
        };
        const written = serializeImageConfig(config);
        expect(parseImageConfig(written)).toEqual(plain(config));
        expect(serializeImageConfig(parseImageConfig(written))).toEqual(written);
      }),
      { numRuns: 300 },
    );
  });
});
