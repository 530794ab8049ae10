/** Ways to spoil an archive: blind ones on bytes, and knowing ones that keep checksums and digests right. */
import { digestOf } from '../../src/bytes/hash.ts';
import { entry, type Files, join, packFiles, unpack } from '../layout/archives.ts';
import { octal, seal } from '../tar/archives.ts';
import type { Random } from './random.ts';

/** Spoils bytes in one to four ways. `others` are archives to splice pieces from. */
export function mutateBytes(bytes: Uint8Array, others: readonly Uint8Array[], random: Random): Uint8Array {
  let spoilt: Uint8Array = bytes.slice();
  for (let times = 1 + random.below(4); times > 0; times--) {
    const { length } = spoilt;
    if (length === 0) return spoilt;
    const at = random.below(length);
    const size = Math.min(length - at, 1 + random.below(random.pick([4, 64, 600, 5000])));
    const [before, cut, after] = [spoilt.subarray(0, at), spoilt.subarray(at, at + size), spoilt.subarray(at + size)];
    switch (random.below(9)) {
      case 0:
        for (let flips = 1 + random.below(8); flips > 0; flips--) spoilt[random.below(length)]! ^= 1 << random.below(8);
        break;
      case 1:
        spoilt = spoilt.slice(0, at);
        break;
      case 2:
        spoilt = join([before, after]);
        break;
      case 3:
        spoilt = join([before, cut, cut, after]);
        break;
      case 4:
        spoilt = join([before, random.bytes(size), after]);
        break;
      case 5:
        spoilt = join([before, new Uint8Array(size).fill(random.pick([0, 0xff, 0x20, 0x30, 0x37])), after]);
        break;
      case 6: {
        const other = random.pick(others);
        const from = random.below(other.length);
        spoilt = join([before, other.subarray(from, from + size), random.oneIn(2) ? after : spoilt.subarray(at)]);
        break;
      }
      case 7:
        // Whole blocks, so that what follows is still a tar.
        spoilt = moveBlocks(spoilt, random);
        break;
      default:
        spoilt.set(spoilt.subarray(0, Math.min(size, length - at)), at);
    }
  }
  return spoilt;
}

/** Changes fields of a tar's headers and puts the checksum right again. What is no tar stays as it is. */
export function mutateHeaders(tar: Uint8Array, random: Random): Uint8Array {
  const spoilt = tar.slice();
  const headers: number[] = [];
  for (let at = 0; at + 512 <= spoilt.length; at += 512) if (isHeader(spoilt.subarray(at, at + 512))) headers.push(at);
  if (headers.length === 0) return spoilt;
  for (let times = 1 + random.below(4); times > 0; times--) {
    const at = random.pick(headers);
    const block = spoilt.subarray(at, at + 512);
    const [offset, length] = random.pick(fields);
    const value = random.oneIn(2) ? fieldOf(length, random) : random.pick(values)(length, random);
    block.fill(0, offset, offset + length);
    block.set(value.subarray(0, length), offset);
    seal(block);
  }
  return spoilt;
}

/** Changes the JSON of an image archive, mends the digests that name it where asked, and packs it again. */
export async function mutateDocuments(archive: Uint8Array, random: Random): Promise<Uint8Array> {
  const files = await unpack(archive);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const documents = [...files].filter(([, content]) => content[0] === 0x7b || content[0] === 0x5b);
    if (documents.length === 0) break;
    const [path, content] = random.pick(documents);
    const changed = changeJson(new TextDecoder().decode(content), random);
    files.set(path, new TextEncoder().encode(changed));
    if (!random.oneIn(4)) await mendDigests(files, path);
  }
  for (const [path, content] of [...files]) {
    if (random.oneIn(60)) files.delete(path);
    if (random.oneIn(60)) files.set(random.pick(paths), content);
    if (random.oneIn(60)) files.set(path, random.bytes(random.below(2000)));
  }
  return packFiles(files);
}

/** Gives a changed blob the name of its new digest, and everything that named the old one the new. */
async function mendDigests(files: Files, path: string): Promise<void> {
  const match = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path);
  const content = files.get(path);
  if (!match || content === undefined) return;
  const [old, renewed] = [match[1] as string, digestOf(content).slice(7)];
  if (old === renewed) return;
  files.delete(path);
  files.set(`blobs/sha256/${renewed}`, content);
  for (const [other, text] of [...files]) {
    if (text[0] !== 0x7b && text[0] !== 0x5b) continue;
    const before = new TextDecoder().decode(text);
    if (!before.includes(old)) continue;
    const named = new RegExp(`"digest":"sha256:${old}","size":\\d+|"size":\\d+,"digest":"sha256:${old}"`, 'g');
    const after = before
      .replace(named, `"digest":"sha256:${renewed}","size":${content.length}`)
      .replaceAll(old, renewed);
    files.set(other, new TextEncoder().encode(after));
    await mendDigests(files, other);
  }
}

/** One change somewhere in a JSON text: of a value, a key, or of the text itself. */
export function changeJson(text: string, random: Random): string {
  if (random.oneIn(5)) {
    const at = random.below(text.length);
    return text.slice(0, at) + random.pick(fragments) + text.slice(at + random.below(4));
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  const places: [Record<string, unknown>, string][] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key]);
      walk((node as Record<string, unknown>)[key]);
    }
  };
  walk(value);
  if (places.length === 0) return random.pick(fragments);
  const [node, key] = random.pick(places);
  const [other, otherKey] = random.pick(places);
  switch (random.below(5)) {
    case 0:
      if (Array.isArray(node)) node.splice(Number(key), 1);
      else delete node[key];
      break;
    case 1:
      node[key] = structuredClone(other[otherKey]);
      break;
    case 2:
      if (Array.isArray(node)) node.push(structuredClone(node[Number(key)]));
      else node[random.pick(keys)] = structuredClone(node[key]);
      break;
    case 3:
      if (typeof node[key] === 'string') node[key] = `${node[key]}`.replace(/[a-z0-9]/i, random.pick(fragments));
      else if (typeof node[key] === 'number')
        node[key] = (node[key] as number) + random.pick([1, -1, 2 ** 40, -(2 ** 40)]);
      break;
    default:
      node[key] = structuredClone(random.pick(hostile));
  }
  return JSON.stringify(value);
}

function moveBlocks(bytes: Uint8Array, random: Random): Uint8Array {
  const blocks = Math.floor(bytes.length / 512);
  if (blocks < 2) return bytes;
  const [from, to] = [random.below(blocks) * 512, random.below(blocks) * 512];
  const piece = bytes.slice(from, from + 512 * (1 + random.below(3)));
  return join([bytes.subarray(0, to), piece, bytes.subarray(random.oneIn(2) ? to : to + piece.length)]);
}

function isHeader(block: Uint8Array): boolean {
  let sum = 256;
  for (let at = 0; at < 512; at++) if (at < 148 || at >= 156) sum += block[at]!;
  return sum > 256 && Number.parseInt(String.fromCharCode(...block.subarray(148, 155)), 8) === sum;
}

/** Offset and length of a header's fields (POSIX pax, ustar), and of GNU's sparse map. */
const fields: readonly (readonly [number, number])[] = [
  [0, 100],
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [124, 12],
  [136, 12],
  [156, 1],
  [156, 1],
  [157, 100],
  [257, 8],
  [265, 32],
  [329, 8],
  [337, 8],
  [345, 155],
  [386, 12],
  [398, 12],
  [482, 1],
  [483, 12],
];

const values: readonly ((length: number, random: Random) => Uint8Array)[] = [
  (length, random) => random.bytes(length),
  (length, random) => latin(octal(random.below(random.pick([10, 10_000, 2 ** 33])), length - 1)),
  (length) => latin('7'.repeat(length)),
  (length) => new Uint8Array(length).fill(0xff),
  (length, random) => Uint8Array.from([0x80, ...random.bytes(Math.max(0, length - 1))]),
  (length, random) => Uint8Array.from([0x80, ...new Uint8Array(Math.max(0, length - 3)), 1, random.below(256)]),
  () => latin('-1'),
  () => latin(' '),
  () => new Uint8Array(0),
];

function fieldOf(length: number, random: Random): Uint8Array {
  if (length === 1) return latin(random.pick([...'01234567ADIKLMNSVXgxZ\0']));
  return latin(random.pick(paths));
}

function latin(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const paths = [
  '../../escape',
  '/etc/passwd',
  'a\\b',
  'C:/x',
  '.',
  './',
  '',
  'a//b',
  'oci-layout',
  'index.json',
  'manifest.json',
  './index.json',
  'blobs/sha256/x',
  '\xff\xfe',
  'a\0b',
  '__proto__',
];

const keys = ['__proto__', 'constructor', 'manifests', 'config', 'layers', 'mediaType', 'data', 'subject', 'size', 'x'];

const fragments = [
  '',
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '0',
  '-',
  'e9',
  '\\u0000',
  '\\ud800',
  '\u0000',
  'null',
  '../',
  '=',
  '%',
];

const hostile: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  1e308,
  '',
  'x',
  '../../etc/passwd',
  `sha256:${'0'.repeat(64)}`,
  'sha256:',
  'sha512:ab',
  'md5:d41d8cd98f00b204e9800998ecf8427e',
  'blake3:abcdef',
  'e30=',
  'not base64!',
  '9999-99-99T99:99:99Z',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  'application/vnd.oci.empty.v1+json',
  [],
  {},
  [[]],
  [null],
  { os: 'linux' },
  { os: 'unknown', architecture: 'unknown' },
  JSON.parse('{"__proto__":{"polluted":true}}'),
  'x'.repeat(5000),
];

/** Entries that no image archive has, to be put among those of one. */
export const oddEntries: readonly ReturnType<typeof entry>[] = paths
  .filter((path) => path !== '' && !path.includes('\0') && !path.endsWith('/'))
  .map((path) => entry(path, 'odd'));
