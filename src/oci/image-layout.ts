/** The parts of image-spec's image-layout.md that are documents: the file `oci-layout`, and the names of its references. */

import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { type Check, record, refusal, scalar, show } from './check.ts';
import { parseJson, serializeJson } from './json.ts';

/** The content of `oci-layout`. */
export interface LayoutHeader {
  imageLayoutVersion: string;
  [unknown: string]: unknown;
}

/** The one version of the layout that there is; it is not the specification's. */
export const imageLayoutVersion = '1.0.0';

/** Reads the file `oci-layout`. @throws `JSON_INVALID`; `LAYOUT_INVALID` for no version or one that is not 1.0.0. */
export function parseLayoutHeader(
  bytes: Uint8Array | string,
  options: { what?: string; limits?: Partial<Limits> } = {},
): LayoutHeader {
  const what = options.what ?? 'oci-layout';
  return header(parseJson(bytes, { what, limits: options.limits }), '', refusal('LAYOUT_INVALID', what));
}

/** `{"imageLayoutVersion":"1.0.0"}`, unless a header that was read is given back. */
export function serializeLayoutHeader(value: LayoutHeader = { imageLayoutVersion }): Uint8Array {
  return serializeJson(header(value, '', refusal('LAYOUT_INVALID', 'oci-layout')));
}

/** What a value of the annotation `org.opencontainers.image.ref.name` looks like (annotations.md). */
export const refNameGrammar: RegExp = /^[a-z\d]+(?:(?:[-._:@+/]|--)[a-z\d]+)*$/i;

/**
 * Checks a name that an image is to have in a layout, such as `v1.0` or `docker.io/library/alpine:3.20`.
 *
 * @throws `REFERENCE_INVALID`
 */
export function checkRefName(name: string): string {
  if (typeof name === 'string' && name.length <= 4096 && refNameGrammar.test(name)) return name;
  throw new StowageError(
    'REFERENCE_INVALID',
    `${show(name)} cannot name an image in a layout: write letters and digits, joined by one of - . _ : @ + / or --, at most 4096 characters.`,
    { name: show(name) },
  );
}

const header: Check<LayoutHeader> = record(
  { imageLayoutVersion: scalar(imageLayoutVersion, (value) => value === imageLayoutVersion) },
  ['imageLayoutVersion'],
);
