/** The parts of image-spec's image-layout.md that are documents: the file `oci-layout`, and the names of its references. */

import { type Check, literal, record, refusal, scalar } from './check.ts';
import { type DocumentKind, writeDocument } from './document.ts';

/** The content of `oci-layout`. */
export interface LayoutHeader {
  imageLayoutVersion: string;
  [unknown: string]: unknown;
}

/** The one version of the layout that there is; it is not the specification's. */
export const imageLayoutVersion = '1.0.0';

/** `{"imageLayoutVersion":"1.0.0"}`, unless a header that was read is given back. */
export function serializeLayoutHeader(header: LayoutHeader = { imageLayoutVersion }): Uint8Array {
  return writeDocument(header, layoutHeaderKind);
}

/** What a value of the annotation `org.opencontainers.image.ref.name` looks like (annotations.md). */
export const refNameGrammar: RegExp = /^[a-z\d]+(?:(?:[-._:@+/]|--)[a-z\d]+)*$/i;

const refName: Check<string> = scalar(
  'at most 4096 letters and digits, joined by one of - . _ : @ + / or --',
  (value) => typeof value === 'string' && value.length <= 4096 && refNameGrammar.test(value),
);

/**
 * Checks a name that an image is to have in a layout, such as `v1.0` or `docker.io/library/alpine:3.20`.
 *
 * @throws `REFERENCE_INVALID`
 */
export function checkRefName(name: string): string {
  return refName(name, '', refusal('REFERENCE_INVALID', 'name in a layout'));
}

/** What the file `oci-layout` is checked by. */
export const layoutHeaderKind: DocumentKind<LayoutHeader> = {
  name: 'oci-layout',
  code: 'LAYOUT_INVALID',
  fields: record({ imageLayoutVersion: literal(imageLayoutVersion) }, ['imageLayoutVersion']),
};
