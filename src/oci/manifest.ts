/** Image manifests, the list of an image's configuration and layers: image-spec's manifest.md. */
import { annotations } from './annotations.ts';
import { type Check, list, mediaType, record, refusal } from './check.ts';
import { type Descriptor, descriptor } from './descriptor.ts';
import { checkKind, type DocumentOptions, two } from './document.ts';
import { parseJson, serializeJson } from './json.ts';
import { bareMediaType, mediaTypes } from './media-types.ts';

export interface Manifest {
  schemaVersion: 2;
  /** OCI's or Docker's schema 2; older documents of OCI have none. */
  mediaType?: string;
  /** What an artifact is, where it is no container image. */
  artifactType?: string;
  config: Descriptor;
  /** The base layer first. */
  layers: Descriptor[];
  /** The manifest that this one says something about: a signature, an inventory. */
  subject?: Descriptor;
  annotations?: Record<string, string>;
  [unknown: string]: unknown;
}

/**
 * Reads a manifest. Keys come in the specification's order, unknown ones last; optional fields that are null are gone.
 *
 * @throws `JSON_INVALID`, `LIMIT_EXCEEDED`; `MANIFEST_INVALID` naming the field, and for an index; `DESCRIPTOR_INVALID`
 * naming the field, such as `layers[2].size`; `MEDIA_TYPE_UNSUPPORTED` for Docker's schema 1 and other kinds of document.
 */
export function parseManifest(bytes: Uint8Array | string, options: DocumentOptions = {}): Manifest {
  const what = options.what ?? 'manifest';
  return checkManifest(parseJson(bytes, { what, limits: options.limits }), what, options.mediaType);
}

/** Checks as `parseManifest` does, and writes compact JSON in the key order of the specification's examples. */
export function serializeManifest(manifest: Manifest): Uint8Array {
  return serializeJson(checkManifest(manifest, 'manifest'));
}

const fields: Check<Manifest> = record(
  {
    schemaVersion: two,
    mediaType,
    artifactType: mediaType,
    config: descriptor,
    layers: list(descriptor),
    subject: descriptor,
    annotations,
  },
  ['schemaVersion', 'config', 'layers'],
);

function checkManifest(value: unknown, what: string, expected?: string): Manifest {
  const refuse = refusal('MANIFEST_INVALID', what);
  checkKind(value, 'manifest', { what, refuse, expected });
  const manifest = fields(value, '', refuse);
  if (bareMediaType(manifest.config.mediaType) === mediaTypes.empty && manifest.artifactType === undefined)
    throw refuse('artifactType', 'given where config is the empty descriptor', undefined);
  return manifest;
}
