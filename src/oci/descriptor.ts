/** Descriptors, which refer to content by media type, digest and size: image-spec's descriptor.md. */
import { annotations } from './annotations.ts';
import { type Check, grammar, list, mediaType, record, refusal, scalar, string } from './check.ts';
import { type Digest, digest } from './digest.ts';
import type { mediaTypes } from './media-types.ts';
import { type Platform, platformRecord } from './platform.ts';

export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes of the content. */
  size: number;
  /** Where else the content may be had. */
  urls?: string[];
  annotations?: Record<string, string>;
  /** The content itself in base64; see `descriptorData`. */
  data?: string;
  artifactType?: string;
  /** What runs it, for manifests within an index. */
  platform?: Platform;
  [unknown: string]: unknown;
}

/**
 * Checks a descriptor and gives a copy in the order of the specification, without optional fields that are null.
 *
 * @param where its path in its document, such as `manifests[2]`; errors then name `manifests[2].size`.
 * @throws `DESCRIPTOR_INVALID`
 */
export function checkDescriptor(value: unknown, where: string): Descriptor {
  return descriptor(value, where, refusal('DESCRIPTOR_INVALID', 'descriptor'));
}

/** The descriptor of `{}`, for where a document must name content and has none (manifest.md, Guidance for an Empty Descriptor). */
export const emptyDescriptor: Readonly<Descriptor> = /* @__PURE__ */ Object.freeze({
  mediaType: 'application/vnd.oci.empty.v1+json' satisfies typeof mediaTypes.empty,
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
  data: 'e30=',
});

/**
 * The content that the descriptor carries in `data`, or `undefined`. Its length is checked here, its digest is not.
 *
 * @throws `DESCRIPTOR_INVALID` where `data` is not base64 of `size` bytes.
 */
export function descriptorData(from: Descriptor): Uint8Array | undefined {
  const { data } = checkDescriptor(from, '');
  return data === undefined ? undefined : Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
}

const size: Check<number> = scalar(
  'a whole number of bytes, at least 0',
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);

/** RFC 4648, section 4: four characters for three bytes, padded. */
const data: Check<string> = (value, field, refuse, siblings) => {
  const bytes = siblings!.size as number;
  const rule = `base64 of ${bytes} bytes, as size says`;
  const encoded = grammar(rule, /^[A-Za-z\d+/]*={0,2}$/)(value, field, refuse);
  if (encoded.length % 4 || encoded.replace(/=+$/, '').length !== Math.ceil((bytes * 4) / 3))
    throw refuse(field, rule, encoded);
  return encoded;
};

/* @__NO_SIDE_EFFECTS__ */
function shaped(order: Record<string, Check<unknown>>): Check<Descriptor> {
  return record(
    {
      mediaType,
      ...order,
      urls: list(string),
      data,
      artifactType: mediaType,
      platform: platformRecord,
      annotations,
    },
    ['mediaType', 'digest', 'size'],
    'DESCRIPTOR_INVALID',
  );
}

/** In the key order of manifest.md's examples. */
export const descriptor: Check<Descriptor> = shaped({ digest, size });

/** In the key order of image-index.md's examples. */
export const indexDescriptor: Check<Descriptor> = shaped({ size, digest });
