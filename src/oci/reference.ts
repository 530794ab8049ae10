/** References, `registry/repository:tag@digest`, with the grammar and the short forms that container engines share. */
import { StowageError } from '../errors.ts';
import { show } from './check.ts';
import { type Digest, isDigest } from './digest.ts';

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
  const check = (part: string, value: string, good: boolean, rule: string): void => {
    if (!good) {
      const message = `Reference ${show(text)}: the ${part} ${show(value)} must be ${rule}.`;
      throw new StowageError('REFERENCE_INVALID', message, { reference: show(text), part });
    }
  };
  check('whole', text, typeof text === 'string' && !/^[a-f\d]{64}$/.test(text), 'a name such as alpine:3.20');
  const [named, digest] = cut(text, text.indexOf('@'));
  const colon = named.lastIndexOf(':');
  const [name, tag] = cut(named, colon > named.lastIndexOf('/') ? colon : -1);
  const [first, rest] = cut(name, name.indexOf('/'));
  const isHost = rest !== undefined && (first === 'localhost' || /[.:[]/.test(first));
  const registry = isHost && first !== 'index.docker.io' ? first : 'docker.io';
  let repository = isHost ? rest : name;
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;

  check('registry', registry, registry.length < 256 && hostPattern.test(registry), 'host or host:port');
  check(
    'repository',
    repository,
    repository.length < 256 && /^[a-z\d]+(([._/]|__|-+)[a-z\d]+)*$/.test(repository),
    'lower-case letters and digits joined by . _ __ - or /, at most 255',
  );
  const reference: Reference = { registry, repository };
  if (tag !== undefined) {
    check('tag', tag, /^\w[\w.-]{0,127}$/.test(tag), '1 to 128 letters, digits, _ . or -, with no . or - in front');
    reference.tag = tag;
  }
  if (digest !== undefined) {
    check('digest', digest, isDigest(digest), 'sha256: and 64 lower-case hexadecimal digits');
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
