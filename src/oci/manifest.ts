/** Image manifests, the list of an image's configuration and layers: image-spec's manifest.md. */
import { annotations } from './annotations.ts';
import { mediaType as artifactType, type Check, list, record } from './check.ts';
import { type Descriptor, descriptor } from './descriptor.ts';
import { type DocumentKind, documentType, schemaVersion, writeDocument } from './document.ts';
import { bareMediaType, isManifest, mediaTypes } from './media-types.ts';

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

const mediaType = documentType('manifest', isManifest);

/** An empty one leaves it to `artifactType` to say what the manifest is of (manifest.md, Guidelines for Artifact Usage). */
const config: Check<Descriptor> = (value, field, refuse, siblings) => {
  const checked = descriptor(value, field, refuse);
  if (bareMediaType(checked.mediaType) === mediaTypes.empty && !siblings!.artifactType)
    throw refuse('artifactType', 'given where config is empty', undefined);
  return checked;
};

/** What a manifest is checked by. */
export const manifestKind: DocumentKind<Manifest> = {
  name: 'manifest',
  code: 'MANIFEST_INVALID',
  mediaType,
  fields: record(
    {
      schemaVersion: schemaVersion('manifests', 'fsLayers'),
      mediaType,
      artifactType,
      config,
      layers: list(descriptor),
      subject: descriptor,
      annotations,
    },
    ['schemaVersion', 'config', 'layers'],
  ),
};
