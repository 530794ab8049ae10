/** Media types: image-spec's media-types.md and the Docker schema 2 types, which are read as their OCI twins. */

/** The media types by name. `docker` holds those of Docker's image manifest, version 2, schema 2. */
export const mediaTypes = {
  descriptor: 'application/vnd.oci.descriptor.v1+json',
  layoutHeader: 'application/vnd.oci.layout.header.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  /** Deprecated by the specification, as are its two twins: read, never written anew. */
  nonDistributableLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  nonDistributableLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  nonDistributableLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  /** A blob of `{}` that stands where a descriptor must be and no content is. */
  empty: 'application/vnd.oci.empty.v1+json',
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    manifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar',
    layerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    foreignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  },
} as const;

/** Whether it names an image manifest, OCI's or Docker's. As in all functions here, case and parameters do not count. */
export function isManifest(mediaType: string): boolean {
  return isOneOf(mediaType, mediaTypes.manifest, mediaTypes.docker.manifest);
}

/** Whether it names an image index or Docker's manifest list. */
export function isIndex(mediaType: string): boolean {
  return isOneOf(mediaType, mediaTypes.index, mediaTypes.docker.manifestList);
}

/** Whether it names an image configuration. */
export function isConfig(mediaType: string): boolean {
  return isOneOf(mediaType, mediaTypes.config, mediaTypes.docker.config);
}

/** Whether it names a file system layer of a compression that is known here. */
export function isLayer(mediaType: string): boolean {
  return layerCompression(mediaType) !== undefined;
}

/** How the layer is compressed, or `undefined` for what is no layer. */
export function layerCompression(mediaType: string): 'gzip' | 'zstd' | 'none' | undefined {
  const match = layerPattern.exec(bareMediaType(mediaType));
  return match ? ((match[2] ?? match[4] ?? 'none') as 'gzip' | 'zstd' | 'none') : undefined;
}

/** Whether it names a layer that registries do not hold: its `urls` say where it is (layer.md, Non-Distributable Layers). */
export function isNonDistributable(mediaType: string): boolean {
  const match = layerPattern.exec(bareMediaType(mediaType));
  return !!(match?.[1] ?? match?.[3]);
}

/** The type and subtype alone in lower case: RFC 6838 has them case-insensitive, and parameters are not part of the name. */
export function bareMediaType(mediaType: unknown): string {
  return typeof mediaType === 'string' ? mediaType.replace(/;.*/s, '').trim().toLowerCase() : '';
}

function isOneOf(mediaType: string, ...types: string[]): boolean {
  return types.includes(bareMediaType(mediaType));
}

const layerPattern =
  /^application\/vnd\.(?:oci\.image\.layer(\.nondistributable)?\.v1\.tar(?:\+(gzip|zstd))?|docker\.image\.rootfs(\.foreign)?\.diff\.tar(?:\.(gzip|zstd))?)$/;
