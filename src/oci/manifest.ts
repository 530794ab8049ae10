/** Image manifests, the list of an image's configuration and layers: image-spec's manifest.md. */
import { annotations } from './annotations.ts';
import { list, mediaType, record, schemaVersion } from './check.ts';
import { type Descriptor, descriptor } from './descriptor.ts';
import { type DocumentKind, refuseOtherThan, writeDocument } from './document.ts';
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

/** Checks as `parseManifest` does, and writes compact JSON in the key order of the specification's examples. */
export function serializeManifest(manifest: Manifest): Uint8Array {
  return writeDocument(manifest, manifestKind);
}

const fields = record<Manifest>(
  {
    schemaVersion,
    mediaType,
    artifactType: mediaType,
    config: descriptor,
    layers: list(descriptor),
    subject: descriptor,
    annotations,
  },
  ['schemaVersion', 'config', 'layers'],
);

/** What a manifest is checked by. */
export const manifestKind: DocumentKind<Manifest> = {
  name: 'manifest',
  code: 'MANIFEST_INVALID',
  fields(value, field, refuse) {
    const manifest = fields(value, field, refuse);
    if (bareMediaType(manifest.config.mediaType) === mediaTypes.empty && !manifest.artifactType)
      throw refuse('artifactType', 'given where config is empty', undefined);
    return manifest;
  },
  rule: refuseOtherThan('manifest'),
};
