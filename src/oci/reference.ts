/** References, `registry/repository:tag@digest`, with the grammar and the short forms that container engines share. */
import { grammar, record, refusal, show } from './check.ts';
import { type Digest, knownDigest } from './digest.ts';

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
  const [, host, path, tag, digest] = parts.exec(name(text, '', refuse))!;
  const registry = host && host !== 'index.docker.io' ? host : 'docker.io';
  const repository = registry === 'docker.io' && !path!.includes('/') ? `library/${path}` : path;
  return reference({ registry, repository, tag: digest === undefined ? (tag ?? 'latest') : tag, digest }, '', refuse);
}

/** The canonical form, which `parseReference` reads back to the same: `docker.io/library/alpine:latest`. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`;
}

/** A digest's hexadecimal digits alone are no name: engines take them for an image's. */
const name = grammar('a name such as alpine:3.20', /^(?![a-f\d]{64}$)/);

/** Registry, repository, tag and digest, whatever they hold. */
const parts = /^(?:(localhost|(?=[^/@]*[.:[])[^/@]*)\/)?([^@]*?)(?::([^/:@]*))?(?:@(.*))?$/s;

const reference = record<Reference>(
  {
    registry: grammar('host or host:port', /^(?=.{1,255}$)([a-z\d]+((\.|-+)[a-z\d]+)*|\[[a-f\d:]+\])(:\d{1,5})?$/i),
    repository: grammar(
      'lower-case letters and digits joined by . _ __ - or /, at most 255',
      /^(?=.{1,255}$)[a-z\d]+(([._/]|__|-+)[a-z\d]+)*$/,
    ),
    tag: grammar('letters, digits, _ . or -, at most 128', /^\w[\w.-]{0,127}$/),
    digest: knownDigest,
  },
  ['registry', 'repository'],
);
