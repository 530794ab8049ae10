/** A client that says to a handler exactly what a test wants said, and content to push. */
import { digestOf } from '../../src/bytes/hash.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import type { Handler } from '../../src/server/index.ts';
import type { Storage } from '../../src/storage/storage.ts';

/** A body is bytes, or text for its UTF-8; a value of another kind is sent as JSON. */
export interface Ask {
  headers?: Record<string, string>;
  body?: Uint8Array | string | object;
}

export type Client = (method: string, path: string, ask?: Ask) => Promise<Response>;

export function clientOf(handler: Handler): Client {
  return (method, path, { headers, body } = {}) => {
    const sent = body === undefined || body instanceof Uint8Array || typeof body === 'string' ? body : json(body);
    return handler(new Request(new URL(path, 'http://registry.test'), { method, headers, body: sent as BodyInit }));
  };
}

/** Text as bytes, the same for the same text. */
export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function json(value: unknown): Uint8Array {
  return bytesOf(JSON.stringify(value));
}

export function describeBytes(bytes: Uint8Array, mediaType = 'application/octet-stream'): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** distribution-spec, Error Codes. */
const specifiedCodes = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
];

/** The codes of an error in the protocol's form, which is checked: of a refusal they are the specification's. */
export async function codesOf(response: Response): Promise<string[]> {
  const { errors } = (await response.json()) as { errors: { code: string; message: string }[] };
  const isCode = (code: string): boolean =>
    specifiedCodes.includes(code) || (response.status >= 500 && code === 'UNKNOWN');
  if (errors.length === 0 || !errors.every(({ code, message }) => isCode(code) && typeof message === 'string'))
    throw new Error(`not the protocol's form: ${JSON.stringify(errors)}`);
  return errors.map(({ code }) => code);
}

/** Pushes a blob by `POST` and `PUT`. */
export async function pushBlob(client: Client, name: string, bytes: Uint8Array): Promise<Descriptor> {
  const descriptor = describeBytes(bytes);
  const location = await startUpload(client, name);
  const put = await client('PUT', `${location}?digest=${descriptor.digest}`, { body: bytes });
  if (put.status !== 201) throw new Error(`PUT gave ${put.status}: ${await put.text()}`);
  return descriptor;
}

export async function startUpload(client: Client, name: string): Promise<string> {
  const post = await client('POST', `/v2/${name}/blobs/uploads/`);
  if (post.status !== 202) throw new Error(`POST gave ${post.status}: ${await post.text()}`);
  return post.headers.get('location') ?? '';
}

export interface PushedImage {
  manifest: Descriptor;
  bytes: Uint8Array;
  config: Descriptor;
  layer: Descriptor;
}

/** Pushes an image of one layer, whose content is `text`, under the reference; its own digest unless told. */
export async function pushImage(
  client: Client,
  name: string,
  reference: string | undefined,
  text: string,
  fields: object = {},
): Promise<PushedImage> {
  const config = { ...(await pushBlob(client, name, json({ text }))), mediaType: mediaTypes.config };
  const layer = { ...(await pushBlob(client, name, bytesOf(`layer of ${text}`))), mediaType: mediaTypes.layer };
  const bytes = json({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [layer], ...fields });
  const manifest = describeBytes(bytes, mediaTypes.manifest);
  const put = await client('PUT', `/v2/${name}/manifests/${reference ?? manifest.digest}`, {
    headers: { 'Content-Type': mediaTypes.manifest },
    body: bytes,
  });
  if (put.status !== 201) throw new Error(`PUT gave ${put.status}: ${await put.text()}`);
  return { manifest, bytes, config, layer };
}

/** What pushes have left: all files, but for the note of when expired uploads were last looked for. */
export async function filesIn(storage: Storage, prefix = ''): Promise<string[]> {
  const files: string[] = [];
  for await (const path of storage.list(prefix)) if (path !== 'uploads-swept') files.push(path);
  return files.sort();
}
