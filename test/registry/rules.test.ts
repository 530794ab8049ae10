/** The registry client's rules that need no registry: challenges, links, scopes, addresses, waits. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  followLocation,
  isConfidential,
  isLoopback,
  plainUrl,
  registryOrigin,
  withParameter,
} from '../../src/registry/address.ts';
import { parseChallenges } from '../../src/registry/challenge.ts';
import { nextPage, parseNextLink } from '../../src/registry/link.ts';
import { parseRateLimit, parseWarnings } from '../../src/registry/notices.ts';
import { referrersTag } from '../../src/registry/referrers.ts';
import { backoff, parseRetryAfter, wait } from '../../src/registry/retry.ts';
import { repositoryScope, widenScopes } from '../../src/registry/scope.ts';
import { failure } from '../content/contract.ts';

describe('challenges', () => {
  test('realm, service and scope are read, quoted or not', () => {
    expect(
      parseChallenges('Bearer realm="https://a/t?x=1,2",service=registry , scope="repository:a/b:pull,push"'),
    ).toEqual([
      {
        scheme: 'bearer',
        parameters: { realm: 'https://a/t?x=1,2', service: 'registry', scope: 'repository:a/b:pull,push' },
      },
    ]);
    expect(parseChallenges('Basic realm="a \\"b\\""')).toEqual([{ scheme: 'basic', parameters: { realm: 'a "b"' } }]);
  });

  test('several challenges in one header are told apart', () => {
    const found = parseChallenges('Negotiate, Basic realm="x", charset="UTF-8", BEARER Realm = "y" , service = z');
    expect(found.map(({ scheme }) => scheme)).toEqual(['negotiate', 'basic', 'bearer']);
    expect(found[1]?.parameters).toEqual({ realm: 'x', charset: 'UTF-8' });
    expect(found[2]?.parameters).toEqual({ realm: 'y', service: 'z' });
  });

  test('of a parameter that comes twice the first counts, and nothing is taken from a broken header', () => {
    expect(parseChallenges('Bearer realm="a",realm="b"')[0]?.parameters.realm).toBe('a');
    expect(parseChallenges('Bearer realm="a')).toEqual([{ scheme: 'bearer', parameters: {} }]);
    for (const header of [null, '', '=', 'realm="x"', '"', ',,,']) expect(parseChallenges(header)).toEqual([]);
    expect(Object.keys(parseChallenges('Bearer __proto__="x"')[0]!.parameters)).toEqual(['__proto__']);
  });

  test('no header keeps the reader busy or throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'Bearr= ",\\;a<>'.split('')), maxLength: 300 }), (header) => {
        parseChallenges(header);
        parseNextLink(header);
        parseWarnings(new Headers({ warning: header }));
      }),
      { numRuns: 500 },
    );
    parseChallenges(`Bearer ${'a="\\'.repeat(100_000)}`);
    parseNextLink(`<x>${';a="\\'.repeat(100_000)}`);
  });
});

describe('links', () => {
  const from = new URL('https://registry.example/v2/a/tags/list?n=2');

  test('the next page is found among others, relative or absolute', () => {
    expect(parseNextLink('</v2/a/tags/list?n=2&last=b>; rel="next"')).toBe('/v2/a/tags/list?n=2&last=b');
    expect(parseNextLink('<x>; rel=prev; title="a, <b>; rel=next", <y>; title="t"; rel="last next"')).toBe('y');
    expect(parseNextLink('<x>; rel="prev"')).toBe(undefined);
    expect(parseNextLink(null)).toBe(undefined);
    expect(nextPage('<?last=b>; rel=next', from)?.href).toBe('https://registry.example/v2/a/tags/list?last=b');
    expect(nextPage('<https://registry.example/x>; rel=next', from)?.href).toBe('https://registry.example/x');
  });

  test('a page elsewhere is not asked for', async () => {
    for (const target of [
      'https://evil.example/',
      'http://registry.example/x',
      '//evil.example/x',
      'https://registry.example:444/',
      'http://[',
    ]) {
      expect(await failure((async () => nextPage(`<${target}>; rel=next`, from))())).toBe('REGISTRY_INVALID');
    }
  });
});

describe('addresses', () => {
  test('http is for loopback hosts alone, unless asked for', () => {
    for (const host of ['localhost', 'localhost:5000', 'a.localhost', '127.0.0.1:80', '127.1.2.3', '[::1]:5000']) {
      expect(isLoopback(host)).toBe(true);
      expect(registryOrigin(host).protocol).toBe('http:');
    }
    for (const host of ['localhost.example', 'notlocalhost', '127.0.0.1.example', '10.0.0.1', '[::2]', '128.0.0.1']) {
      expect(isLoopback(host)).toBe(false);
      expect(registryOrigin(host).protocol).toBe('https:');
    }
    expect(registryOrigin('docker.io').href).toBe('https://registry-1.docker.io/');
    expect(registryOrigin('a.example', true).href).toBe('http://a.example/');
    expect(registryOrigin('localhost', false).href).toBe('https://localhost/');
    expect(isConfidential(new URL('http://a.example/'))).toBe(false);
  });

  test('a location is followed, but never down to http or to another protocol', async () => {
    const from = new URL('https://a.example/v2/x?y');
    const follow = (location: string | null): string => followLocation(from, location, 'A redirect').href;
    expect(follow('/z?q=1')).toBe('https://a.example/z?q=1');
    expect(follow('https://cdn.example/blob')).toBe('https://cdn.example/blob');
    expect(follow('https://user:pass@cdn.example/blob#x')).toBe('https://cdn.example/blob');
    // A registry behind a proxy that ends TLS.
    expect(follow('http://a.example/upload')).toBe('https://a.example/upload');
    for (const location of [
      null,
      '',
      'http://cdn.example/',
      'file:///etc/passwd',
      'javascript:1',
      'data:,x',
      'https://',
    ]) {
      expect(await failure((async () => follow(location))())).toBe('REGISTRY_INVALID');
    }
  });

  test("an upload's URL keeps its query as it is", () => {
    const url = new URL('https://a.example/u?_state=a%20b+c~%2F');
    expect(withParameter(url, 'digest', 'sha256:ab').href).toBe(
      'https://a.example/u?_state=a%20b+c~%2F&digest=sha256%3Aab',
    );
    expect(withParameter(new URL('https://a.example/u'), 'n', '1').href).toBe('https://a.example/u?n=1');
  });

  test('URLs are shown without what may be secret', () => {
    expect(plainUrl(new URL('https://me:secret@a.example/x?token=secret#secret'))).toBe('https://a.example/x');
  });
});

describe('scopes', () => {
  test('each operation asks for what it needs', () => {
    expect(repositoryScope('a/b', 'pull')).toBe('repository:a/b:pull');
    expect(repositoryScope('a/b', 'push')).toBe('repository:a/b:pull,push');
    expect(repositoryScope('a/b', 'delete')).toBe('repository:a/b:delete');
  });

  test('a challenge widens what is asked for of the same resource, and of no other', () => {
    expect(
      widenScopes(['repository:a:delete'], 'repository:a:pull,delete,* repository:b:push registry:catalog:*'),
    ).toEqual(['repository:a:delete,pull,*']);
    expect(widenScopes(['repository:a:pull'], undefined)).toEqual(['repository:a:pull']);
  });
});

describe('waits', () => {
  test('Retry-After is seconds or a date', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(parseRetryAfter('120', now)).toBe(120_000);
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
    expect(parseRetryAfter('Wed, 31 Dec 2025 00:00:30 GMT', now)).toBe(0);
    for (const header of [null, '', 'soon', '-1', '1.5', '99999999999999'])
      expect(parseRetryAfter(header, now)).toBe(undefined);
  });

  test('waits grow, differ, and have an end', () => {
    expect([0, 1, 2, 3, 20].map((tried) => backoff(tried, 250, () => 1))).toEqual([250, 500, 1000, 2000, 10_000]);
    expect(backoff(5, 250, () => 0)).toBe(0);
  });

  test('a wait ends on the signal, with its reason', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const waiting = wait(1e8, controller.signal);
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(wait(1e8, controller.signal)).rejects.toBe(reason);
  });
});

describe('what registries say beside the matter', () => {
  test('rate limits in both spellings', () => {
    const docker = new Headers({
      'ratelimit-limit': '100;w=21600',
      'ratelimit-remaining': '76;w=21600',
      'docker-ratelimit-source': '192.0.2.1',
    });
    expect(parseRateLimit(docker)).toEqual({ limit: 100, remaining: 76, window: 21600, source: '192.0.2.1' });
    expect(parseRateLimit(new Headers({ 'x-ratelimit-remaining': '5' }))).toEqual({ remaining: 5 });
    expect(parseRateLimit(new Headers({ 'x-ratelimit-remaining': 'many' }))).toBe(undefined);
  });

  test('warnings', () => {
    expect(parseWarnings(new Headers({ warning: '299 - "one \\"two\\", three", 299 - "four", 199 - "no"' }))).toEqual([
      'one "two", three',
      'four',
    ]);
  });

  test("the specification's examples of referrers tags", () => {
    expect(referrersTag(`sha512:${'a'.repeat(128)}`)).toBe(`sha512-${'a'.repeat(64)}`);
    expect(
      referrersTag(
        'test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation',
      ),
    ).toBe('test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot');
  });
});
