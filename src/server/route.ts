/** Which endpoint a URL names: distribution-spec's section Endpoints, and nothing beside it. */
import { isDigest } from '../oci/digest.ts';
import { refuse } from './protocol-error.ts';

/** An endpoint, with what its path names, checked against the grammar. */
export type Route =
  | { endpoint: 'base' }
  | { endpoint: 'catalog' }
  | { endpoint: 'tags'; repository: string }
  | { endpoint: 'manifest'; repository: string; reference: string }
  | { endpoint: 'blob'; repository: string; digest: string }
  | { endpoint: 'referrers'; repository: string; digest: string }
  | { endpoint: 'uploads'; repository: string }
  | { endpoint: 'upload'; repository: string; id: string };

/** Throws a 404 for what is no endpoint, and a 400 with the specification's code for names outside the grammar. */
export function parseRoute(pathname: string): Route {
  if (pathname === '/v2/' || pathname === '/v2') return { endpoint: 'base' };
  if (pathname === '/v2/_catalog') return { endpoint: 'catalog' };
  const uploads = /^\/v2\/(.+)\/blobs\/uploads(?:\/([^/]*))?$/.exec(pathname);
  if (uploads) {
    const repository = checkName(uploads[1]!);
    const id = uploads[2] ?? '';
    if (id === '') return { endpoint: 'uploads', repository };
    if (!uploadId.test(id))
      throw refuse(404, 'BLOB_UPLOAD_UNKNOWN', 'This is no upload that this registry started. Begin a new one.');
    return { endpoint: 'upload', repository, id };
  }
  const tags = /^\/v2\/(.+)\/tags\/list$/.exec(pathname);
  if (tags) return { endpoint: 'tags', repository: checkName(tags[1]!) };
  const named = /^\/v2\/(.+)\/(manifests|blobs|referrers)\/([^/]*)$/.exec(pathname);
  if (!named)
    throw refuse(404, 'UNSUPPORTED', 'There is no such endpoint. See the distribution specification, Endpoints.');
  const repository = checkName(named[1]!);
  const reference = decode(named[3]!);
  if (named[2] === 'manifests') {
    const isNamed = isDigest(reference) || isTag(reference);
    if (!isNamed) {
      const code = /:/.test(reference) ? 'DIGEST_INVALID' : 'MANIFEST_INVALID';
      throw refuse(400, code, 'A manifest is named by a tag (letters, digits, _ . -, at most 128) or by a digest.');
    }
    return { endpoint: 'manifest', repository, reference };
  }
  const digest = checkDigest(reference);
  return named[2] === 'blobs'
    ? { endpoint: 'blob', repository, digest }
    : { endpoint: 'referrers', repository, digest };
}

/** distribution-spec, Pulling manifests: at most 255 characters, which leaves room for it in any storage. */
export function isRepositoryName(name: string): boolean {
  return name.length <= 255 && /^[a-z\d]+(?:(?:\.|_|__|-+|\/)[a-z\d]+)*$/.test(name);
}

export function isTag(text: string): boolean {
  return /^\w[\w.-]{0,127}$/.test(text);
}

/** Throws `DIGEST_INVALID`. */
export function checkDigest(text: string | null): string {
  if (isDigest(text)) return text;
  throw refuse(400, 'DIGEST_INVALID', 'A digest is sha256:, sha384: or sha512: and its lower-case hexadecimal digits.');
}

/** What `crypto.randomUUID` gives, so that no id can lead anywhere else. */
const uploadId = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

function checkName(name: string): string {
  if (isRepositoryName(name)) return name;
  throw refuse(
    400,
    'NAME_INVALID',
    'A repository name is lower-case letters and digits joined by . _ __ - or /, at most 255 characters.',
  );
}

/** Some clients escape the colon of a digest. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
