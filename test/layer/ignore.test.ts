import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIgnore } from '../../src/layer/ignore.ts';

/** Lines, what they ignore, what they do not. */
const table: [string, string[], string[]][] = [
  ['# comment', [], ['# comment', 'comment']],
  [' # no comment', ['# no comment'], ['no comment']],
  ['', [], ['a']],
  ['a', ['a', 'a/b', 'a/b/c'], ['b', 'ab', 'b/a', 'a b']],
  ['/a', ['a', 'a/b'], ['b/a']],
  ['a/', ['a', 'a/b'], ['b/a']],
  ['./a//b/.', ['a/b', 'a/b/c'], ['a', 'b']],
  ['x/../a', ['a'], ['x', 'x/a']],
  ['../a', [], ['a']],
  ['/../a', ['a'], []],
  ['  a  ', ['a'], [' a', 'a ']],
  ['.', [], ['a', '.a']],
  ['/', [], ['a']],
  ['*', ['a', 'a/b', '.a'], []],
  ['*/temp*', ['somedir/temporary.txt', 'somedir/temp', 'somedir/temp/x'], ['temp', 'a/b/temp']],
  ['*/*/temp*', ['a/b/temporary.txt'], ['a/temp', 'temp']],
  ['temp?', ['tempa', 'tempb', 'tempa/x'], ['temp', 'tempab', 'a/tempa', 'temp/']],
  ['*.md', ['README.md', '.md'], ['docs/README.md', 'a.mdx']],
  ['*.md\n!README.md', ['a.md'], ['README.md']],
  ['*.md\n!README*.md\nREADME-secret.md', ['a.md', 'README-secret.md'], ['README.md', 'README-x.md']],
  ['*.md\nREADME-secret.md\n!README*.md', ['a.md'], ['README.md', 'README-secret.md']],
  ['*\n!a/b', ['c', 'a', 'a/c'], ['a/b', 'a/b/c']],
  ['a\n! a/b ', ['a', 'a/c'], ['a/b', 'b']],
  ['a\n!a', [], ['a', 'a/b']],
  ['!a\na', ['a', 'a/b'], []],
  ['**/*.go', ['a.go', 'a/b.go', 'a/b/c.go'], ['a.gox', 'go']],
  ['**/foo', ['foo', 'a/foo', 'a/b/foo', 'foo/x'], ['afoo', 'a/foob']],
  ['foo/**', ['foo/a', 'foo/a/b'], ['foo', 'afoo/a']],
  ['foo/**/bar', ['foo/bar', 'foo/a/bar', 'foo/a/b/bar'], ['foobar', 'foo/abar']],
  ['a/**/*.txt', ['a/x.txt', 'a/b/c/x.txt'], ['a/b', 'b/x.txt']],
  ['**', ['a', 'a/b'], []],
  ['**/', ['a', 'a/b'], []],
  ['**/**/a', ['a', 'x/a', 'x/y/a'], ['xa']],
  ['**.txt', ['a.txt', 'a/b.txt'], ['a.txtx']],
  ['a**', ['a', 'ab', 'a/b', 'ab/c'], ['b']],
  ['a**/b', ['ab', 'a/b', 'ax/b', 'a/x/b'], ['axb']],
  ['[a-c]x', ['ax', 'cx'], ['dx', '-x']],
  ['[^a-c]x', ['dx', '-x'], ['ax', 'x']],
  ['[!a]x', ['!x', 'ax'], ['bx']],
  ['[\\]\\-a]', [']', '-', 'a'], ['b', '\\']],
  ['a]', ['a]'], ['a']],
  ['a\\*b', ['a*b'], ['axb', 'a\\*b']],
  ['\\#a', ['#a'], ['a']],
  ['\\!a', ['!a'], ['a']],
  ['a.b', ['a.b'], ['axb']],
  ['(a|b)+$', ['(a|b)+$'], ['a', 'b']],
  ['{a,b}', ['{a,b}'], ['a', 'b']],
  ['größe-?', ['größe-文', 'größe-\u{1f600}'], ['größe-', 'größe-ab']],
  ['\ufeffa', ['a'], []],
  ['a\r\nb\r\n', ['a', 'b'], []],
];

describe('.dockerignore', () => {
  test.each(table)('%j', (lines, ignored, taken) => {
    const { ignores } = parseIgnore(lines);
    expect(ignored.filter((path) => !ignores(path))).toEqual([]);
    expect(taken.filter((path) => ignores(path))).toEqual([]);
  });

  test('lines may be given as a list', () => {
    expect(parseIgnore(['a', '!a/b']).ignores('a/c')).toBe(true);
    expect(parseIgnore(['a', '!a/b']).ignores('a/b')).toBe(false);
    expect(parseIgnore([]).ignores('a')).toBe(false);
  });

  test.each(['[', 'a[', '[]', '[]a]', '[^]', '[a-]', '[-a]', '[a', '[\\', 'a\\', '!', '! '])(
    '%j is refused',
    (line) => {
      expect(() => parseIgnore(line)).toThrow(expect.objectContaining({ code: 'ARGUMENT_INVALID' }));
    },
  );

  test('says of an ignored directory whether a line may take something in below it', () => {
    const { mayTakeInBelow } = parseIgnore('*\n!a/b/c\n!d/*/e\n!f/**/g');
    for (const path of ['a', 'a/b', 'd', 'd/x', 'f', 'f/x', 'f/x/y'])
      expect([path, mayTakeInBelow(path)]).toEqual([path, true]);
    for (const path of ['b', 'a/x', 'a/b/c', 'd/x/e', 'd/x/y', 'g', 'ab'])
      expect([path, mayTakeInBelow(path)]).toEqual([path, false]);
    expect(parseIgnore('*').mayTakeInBelow('a')).toBe(false);
  });

  const segment = fc.stringMatching(/^[ab.]{1,3}$/).filter((text) => text !== '.' && text !== '..');
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'));
  const pattern = fc
    .array(fc.constantFrom('a', 'b', '*', '?', '**', '/', '**/', '/**', '[ab]', '[^a]', '.'), {
      minLength: 1,
      maxLength: 8,
    })
    .map((parts) => `a${parts.join('')}`.replace(/\*{3,}/g, '**'));

  test('a pattern matches what the regular expression that Docker makes of it matches', () => {
    fc.assert(
      fc.property(pattern, path, (line, name) => {
        const expression = asDockerHasIt(line);
        const parents = name.split('/').map((_, index, all) => all.slice(0, index + 1).join('/'));
        expect(parseIgnore(line).ignores(name)).toBe(parents.some((parent) => expression.test(parent)));
      }),
      { numRuns: 3000 },
    );
  });

  test('what may take in below a directory is true of all directories above what is taken in', () => {
    fc.assert(
      fc.property(pattern, path, (line, name) => {
        const { ignores, mayTakeInBelow } = parseIgnore(['**', `!${line}`]);
        const above = name.split('/').slice(0, -1);
        const isPassed = above.every((_, index) => {
          const directory = above.slice(0, index + 1).join('/');
          return !ignores(directory) || mayTakeInBelow(directory);
        });
        expect(ignores(name) || isPassed).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test('a pattern made to be slow is not', () => {
    const { ignores } = parseIgnore(`${'**/*a'.repeat(60)}b`);
    expect(ignores(`${'a/'.repeat(1500)}c`)).toBe(false);
  });
});

/** A pattern without escapes, cleaned, as moby/patternmatcher turns it into a regular expression. */
function asDockerHasIt(line: string): RegExp {
  const kept: string[] = [];
  for (const segment of line.split('/').filter((one) => one !== '' && one !== '.')) {
    if (segment === '..') kept.pop();
    else kept.push(segment);
  }
  const source = kept
    .join('/')
    .replace(/\./g, '\\.')
    .replace(/\*\*\/?$/, '<')
    .replace(/\*\*\/?/g, '>')
    .replace(/\*/g, '[^/]*')
    .replace(/\?/g, '[^/]')
    .replace(/</g, '.*')
    .replace(/>/g, '(.*/)?');
  return new RegExp(`^${source}$`);
}
