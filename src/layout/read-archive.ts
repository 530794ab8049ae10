/** What an image archive says of itself once its files can be read: an OCI layout, or what `docker save` writes. */
import { load } from '../bytes/load.ts';
import type { ContentSource } from '../content/content.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { annotationKeys } from '../oci/annotations.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Unpacked } from './archive.ts';
import { Layout, refName, type Tag } from './layout.ts';

export interface ArchiveContent {
  content: ContentSource;
  roots: readonly Descriptor[];
  tags: readonly Tag[];
  /** The name that the archive gives its image, if any. */
  tag: string | undefined;
}

/** OCI's documents come first: they name everything by digest, which Docker's `manifest.json` beside them does not. */
export async function readArchive(
  unpacked: Pick<Unpacked, 'storage' | 'follow'>,
  limits: Limits,
  signal?: AbortSignal,
): Promise<ArchiveContent> {
  const { storage } = unpacked;
  if (await storage.stat('oci-layout')) {
    const layout = await Layout.open(storage, { limits });
    const { manifests, annotations } = await layout.index({ signal });
    const tags = manifests.flatMap((descriptor) => {
      const name = refName(descriptor);
      return name === undefined ? [] : [{ name, descriptor }];
    });
    // The seed tags a flat list of platforms on the index itself.
    const tag = annotations?.[annotationKeys.refName] ?? tags[0]?.name;
    return { content: layout, roots: manifests, tags, tag };
  }
  if (await storage.stat('manifest.json')) {
    const { openDockerArchive } = await load(() => import('./docker-archive.ts'));
    const { content, roots, tags } = await openDockerArchive(unpacked, limits, signal);
    return { content, roots, tags, tag: tags[0]?.name };
  }
  throw new StowageError(
    'LAYOUT_INVALID',
    'The archive holds neither oci-layout nor manifest.json at its top, so it is no image archive. Make one with `podman save`, `skopeo copy … oci-archive:` or `docker save`.',
  );
}
