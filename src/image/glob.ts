/**
 * Patterns for paths: `*`, `?` and `[a-z]` within a segment, `**` as a segment for any number of them, `{a,b}` for either.
 * Matching takes at most the length of the pattern times that of the path, whatever they are.
 */
import { StowageError } from '../errors.ts';

/**
 * Says of a path, without a leading slash, whether the whole of it fits the pattern. Case counts; names that begin with a
 * dot are names like any other. `[!a]` or `[^a]` is any character but these; a `\` takes the next character as it is.
 *
 * @throws `ARGUMENT_INVALID` for an empty pattern, or braces that stand for more than 1,000 patterns.
 */
export function compileGlob(pattern: string): (path: string) => boolean {
  if (pattern === '') throw invalid(pattern, 'is empty; `**` fits everything');
  const alternatives = expandBraces(pattern).map((one) =>
    one
      .split('/')
      .filter((segment) => segment !== '' && segment !== '.')
      .map(compileSegment),
  );
  return (path) => {
    const names = path.split('/').map((name) => Array.from(name));
    return alternatives.some((segments) => matchSegments(segments, names));
  };
}

/** What fits one character, or `*` for any run of them. */
type Token = '*' | ((character: string) => boolean);

/** One segment of a pattern. */
type Segment = '**' | Token[];

const maximumAlternatives = 1000;

function compileSegment(segment: string): Segment {
  if (segment === '**') return '**';
  const tokens: Token[] = [];
  const characters = Array.from(segment);
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!;
    if (character === '*') {
      if (tokens.at(-1) !== '*') tokens.push('*');
    } else if (character === '?') {
      tokens.push(() => true);
    } else if (character === '[' && closing(characters, at) !== -1) {
      const end = closing(characters, at);
      tokens.push(compileClass(characters.slice(at + 1, end)));
      at = end;
    } else {
      const literal = character === '\\' && at + 1 < characters.length ? characters[++at] : character;
      tokens.push((other) => other === literal);
    }
  }
  return tokens;
}

/** Where a class ends; a `]` right after its beginning is one of its characters. */
function closing(characters: readonly string[], at: number): number {
  const first = characters[at + 1] === '!' || characters[at + 1] === '^' ? at + 2 : at + 1;
  return characters.indexOf(']', first + 1);
}

function compileClass(characters: string[]): Token {
  const isNegated = characters[0] === '!' || characters[0] === '^';
  if (isNegated) characters.shift();
  const ranges: [number, number][] = [];
  for (let at = 0; at < characters.length; at++) {
    const from = characters[at]!.codePointAt(0)!;
    const isRange = characters[at + 1] === '-' && at + 2 < characters.length;
    ranges.push([from, isRange ? characters[at + 2]!.codePointAt(0)! : from]);
    if (isRange) at += 2;
  }
  return (character) => {
    const code = character.codePointAt(0)!;
    return ranges.some(([from, to]) => code >= from && code <= to) !== isNegated;
  };
}

function matchSegments(segments: readonly Segment[], names: readonly string[][]): boolean {
  return matchRuns(segments, names, '**', (segment, name) =>
    matchRuns(segment as Token[], name, '*', (token, character) => (token as (one: string) => boolean)(character)),
  );
}

/** Matches with wildcards for runs. Only the last run that was begun need ever be made longer: so it takes no more than a product. */
function matchRuns<P, T>(
  pattern: readonly P[],
  items: readonly T[],
  run: P,
  fits: (part: P, item: T) => boolean,
): boolean {
  let part = 0;
  let item = 0;
  let runPart = -1;
  let runItem = 0;
  while (item < items.length) {
    if (part < pattern.length && pattern[part] === run) {
      runPart = part++;
      runItem = item;
    } else if (part < pattern.length && fits(pattern[part]!, items[item]!)) {
      part++;
      item++;
    } else if (runPart !== -1) {
      part = runPart + 1;
      item = ++runItem;
    } else {
      return false;
    }
  }
  while (part < pattern.length && pattern[part] === run) part++;
  return part === pattern.length;
}

/** `{a,b}` as two patterns. Braces without a comma, or without their other half, are characters. */
function expandBraces(pattern: string): string[] {
  const done: string[] = [];
  const waiting = [pattern];
  while (waiting.length > 0) {
    const one = waiting.pop()!;
    const braces = findBraces(one);
    if (braces === undefined) {
      done.push(one);
    } else {
      const [start, ...cuts] = braces;
      for (let index = 0; index + 1 < cuts.length + 1; index++) {
        const from = (index === 0 ? start : cuts[index - 1]!) + 1;
        waiting.push(one.slice(0, start) + one.slice(from, cuts[index]) + one.slice(cuts.at(-1)! + 1));
      }
    }
    if (done.length + waiting.length > maximumAlternatives) {
      throw invalid(pattern, `has braces that stand for more than ${maximumAlternatives} patterns`);
    }
  }
  return done;
}

/** Where the first braces with a comma open, their commas, and where they close. */
function findBraces(pattern: string): [number, ...number[]] | undefined {
  const open: { start: number; commas: number[] }[] = [];
  let found: [number, ...number[]] | undefined;
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at];
    if (character === '\\') at++;
    else if (character === '{') open.push({ start: at, commas: [] });
    else if (character === ',') open.at(-1)?.commas.push(at);
    else if (character === '}' && open.length > 0) {
      const { start, commas } = open.pop()!;
      if (commas.length > 0 && (found === undefined || start < found[0])) found = [start, ...commas, at];
    }
  }
  return found;
}

function invalid(pattern: string, why: string): StowageError {
  return new StowageError('ARGUMENT_INVALID', `The pattern ${JSON.stringify(pattern.slice(0, 200))} ${why}.`, {
    pattern,
  });
}
