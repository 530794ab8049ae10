/** Annotations: the keys that image-spec's annotations.md defines, and its rules for all of them. */
import { type Check, map, refusal, string } from './check.ts';

/** The pre-defined keys. Any other key is as good; `org.opencontainers.` is not for others to define. */
export const annotationKeys = {
  /** RFC 3339 date and time of the build. */
  created: 'org.opencontainers.image.created',
  authors: 'org.opencontainers.image.authors',
  url: 'org.opencontainers.image.url',
  documentation: 'org.opencontainers.image.documentation',
  source: 'org.opencontainers.image.source',
  version: 'org.opencontainers.image.version',
  revision: 'org.opencontainers.image.revision',
  vendor: 'org.opencontainers.image.vendor',
  /** An SPDX licence expression. */
  licenses: 'org.opencontainers.image.licenses',
  /** The tag of a descriptor in a layout's index.json; see `checkRefName`. */
  refName: 'org.opencontainers.image.ref.name',
  title: 'org.opencontainers.image.title',
  description: 'org.opencontainers.image.description',
  /** The digest of the image that this one is based on. */
  baseDigest: 'org.opencontainers.image.base.digest',
  baseName: 'org.opencontainers.image.base.name',
} as const;

/**
 * Checks annotations that a caller made: an object whose values are strings, the empty one too (annotations.md, Rules).
 *
 * @throws `ARGUMENT_INVALID` naming the key, as in `annotations["com.example.key"]`; `where` stands for `annotations`.
 */
export function checkAnnotations(value: unknown, where = 'annotations'): Record<string, string> {
  return annotations(value, where, refusal('ARGUMENT_INVALID', 'annotations'));
}

export const annotations: Check<Record<string, string>> = map(string);
