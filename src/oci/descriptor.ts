/** Descriptors, which refer to content by media type, digest and size: image-spec's descriptor.md. */
import { annotations } from './annotations.ts';
import { type Check, list, mediaType, record, refusal, scalar, string, text } from './check.ts';
import { type Digest, digest } from './digest.ts';
import { mediaTypes } from './media-types.ts';
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
  mediaType: mediaTypes.empty,
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

const base64: Check<string> = text('base64 (RFC 4648, section 4)', /^[A-Za-z\d+/]*={0,2}$/);

const data: Check<string> = (value, field, refuse, siblings) => {
  const checked = base64(value, field, refuse);
  const size = siblings!.size as number;
  // Four characters for three bytes.
  if (checked.length % 4 || checked.replace(/=+$/, '').length !== Math.ceil((size * 4) / 3))
    throw refuse(field, `base64 of ${size} bytes, as size says`, checked);
  return checked;
};

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
