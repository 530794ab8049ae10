/** What manifests and indexes share: how they are read, and that the one is never taken for the other. */
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { type Check, isObject, type Refuse, show } from './check.ts';
import { bareMediaType, isIndex, isManifest } from './media-types.ts';

export interface DocumentOptions {
  /** The document's name in errors, such as `manifest sha256:…`. Default: what it is. */
  what?: string;
  /** `jsonBytes` bounds the document (default 4 MiB). */
  limits?: Partial<Limits>;
  /** What the descriptor or the registry says that it is; a document that says otherwise is refused. */
  mediaType?: string;
}

/**
 * Refuses Docker's schema 1, documents that could be read as both manifest and index (manifests that change their
 * meaning with the reader have been an attack on signatures), and media types that disagree.
 */
export function checkKind(
  value: unknown,
  kind: 'manifest' | 'index',
  { what, refuse, expected }: { what: string; refuse: Refuse; expected: string | undefined },
): void {
  if (!isObject(value)) throw refuse('', 'an object', value);
  const type = value.mediaType;
  const unsupported = (problem: string, mediaType: unknown): StowageError =>
    new StowageError('MEDIA_TYPE_UNSUPPORTED', `${what}: ${problem}.`, { what, mediaType });
  if (
    value.schemaVersion === 1 ||
    value.fsLayers !== undefined ||
    /\.docker\.[a-z.]+\.v1\+/.test(bareMediaType(type))
  ) {
    throw unsupported(
      'Docker image manifest schema 1 is obsolete and not read; push the image anew with a current engine',
      type,
    );
  }
  for (const key of kind === 'manifest' ? ['manifests'] : ['config', 'layers']) {
    if (value[key] !== undefined)
      throw refuse(key, `absent from an image ${kind} (this is another kind of document, or poses as two)`, value[key]);
  }
  const [isOwn, isOther] = kind === 'manifest' ? [isManifest, isIndex] : [isIndex, isManifest];
  for (const given of [expected, type]) {
    if (typeof given !== 'string' || isOwn(given)) continue;
    if (isOther(given)) throw refuse('mediaType', `that of an image ${kind}`, given);
    throw unsupported(`${show(given)} is not the media type of an image ${kind}`, given);
  }
  if (expected !== undefined && typeof type === 'string' && bareMediaType(type) !== bareMediaType(expected))
    throw refuse('mediaType', `${expected}, as its descriptor says`, type);
}

export const two: Check<2> = (value, field, refuse) => {
  if (value !== 2) throw refuse(field, '2', value);
  return value;
};
