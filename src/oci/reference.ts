/** References, `registry/repository:tag@digest`, with the grammar and the short forms that container engines share. */
import { refusal, show } from './check.ts';
import { type Digest, digestRule, isDigest } from './digest.ts';

/** The name of an image in a registry. */
export interface Reference {
  /** Host, and port where there is one: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  registry: string;
  /** Path within the registry, lower-case, up to 255 characters: `library/alpine`. */
  repository: string;
  /** Up to 128 characters. */
  tag?: string;
  digest?: Digest;
}

/**
 * Reads a reference. What stands before the first `/` is a registry if it is `localhost` or has a dot, a colon or a
 * bracket; else the registry is Docker Hub, `docker.io`, where a name without `/` lies in `library/`. The tag is `latest`
 * where neither tag nor digest is given, and only there.
 *
 * @example
 * parseReference('alpine'); // { registry: 'docker.io', repository: 'library/alpine', tag: 'latest' }
 * @throws `REFERENCE_INVALID`, which says what is wrong.
 */
export function parseReference(text: string): Reference {
  const refuse = refusal('REFERENCE_INVALID', `reference ${show(text)}`);
  if (typeof text !== 'string' || /^[a-f\d]{64}$/.test(text)) throw refuse('', 'a name such as alpine:3.20', text);
  const [named, digest] = cut(text, text.indexOf('@'));
  const colon = named.lastIndexOf(':');
  const [name, tag] = cut(named, colon > named.lastIndexOf('/') ? colon : -1);
  const [first, rest] = cut(name, name.indexOf('/'));
  const isHost = rest !== undefined && (first === 'localhost' || /[.:[]/.test(first));
  const registry = isHost && first !== 'index.docker.io' ? first : 'docker.io';
  let repository = isHost ? rest : name;
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;

  if (registry.length > 255 || !hostPattern.test(registry)) throw refuse('registry', 'host or host:port', registry);
  if (repository.length > 255 || !/^[a-z\d]+(([._/]|__|-+)[a-z\d]+)*$/.test(repository))
    throw refuse('repository', 'lower-case letters and digits joined by . _ __ - or /, at most 255', repository);
  const reference: Reference = { registry, repository };
  if (tag !== undefined) {
    if (!/^\w[\w.-]{0,127}$/.test(tag)) throw refuse('tag', 'letters, digits, _ . or -, at most 128', tag);
    reference.tag = tag;
  }
  if (digest !== undefined) {
    if (!isDigest(digest)) throw refuse('digest', digestRule, digest);
    reference.digest = digest;
  } else reference.tag ??= 'latest';
  return reference;
}

/** The canonical form, which `parseReference` reads back to the same: `docker.io/library/alpine:latest`. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`;
}

const hostPattern = /^([a-z\d]+(-+[a-z\d]+)*(\.[a-z\d]+(-+[a-z\d]+)*)*|\[[a-f\d:]+\])(:\d{1,5})?$/i;

/** The text before and after one position; nothing after where it is -1. */
function cut(text: string, at: number): [before: string, after?: string] {
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
