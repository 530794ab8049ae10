/**
 * The grammar of `.dockerignore` (docs.docker.com, "Build context", ".dockerignore files"; moby/patternmatcher decides where those are
 * silent): which files stay out of a layer. Each pattern runs over a path once, in all its states at a time, so that no pattern takes
 * more than the product of both lengths.
 */
import { StowageError } from '../errors.ts';

/** What the lines of a `.dockerignore` say. */
export interface Ignore {
  /** Whether the file or directory of this path (relative, with `/`) stays out: so says the last line that matches it or what it lies in. */
  ignores: (path: string) => boolean;
  /** Whether a `!` line could take in something below this directory, so that it must be looked through even where it is ignored. */
  mayTakeInBelow: (directory: string) => boolean;
}

/**
 * Reads a whole `.dockerignore`, or its lines. Lines that begin with `#` and empty ones mean nothing. A line is trimmed and cleaned: `/a`,
 * `./a`, `a/` and `x/../a` are `a`. It is matched with paths from the root down: `*` for anything but `/`, `?` for one character but `/`,
 * `[a-z]` and `[^a-z]` for one character, `\` before what is to mean itself, `**` for any number of directories, none too.
 * What lies in a directory that matches, matches. A line that begins with `!` takes in again what lines before it ignored.
 *
 * @throws `ARGUMENT_INVALID` for a class that is empty or does not end, a `\` at the end, a `!` alone.
 *
 * @example
 * const { ignores } = parseIgnore('node_modules\n**' + '/*.map\n!keep.map');
 */
export function parseIgnore(lines: string | readonly string[]): Ignore {
  const patterns = (typeof lines === 'string' ? lines.replace(/^\ufeff/, '').split('\n') : lines).flatMap(parseLine);
  const exceptions = patterns.filter(({ isException }) => isException);
  return {
    ignores(path) {
      let isIgnored = false;
      for (const { isException, matches } of patterns) {
        if (isException === isIgnored && matches(path)) isIgnored = !isException;
      }
      return isIgnored;
    },
    mayTakeInBelow: (directory) => exceptions.some(({ mayMatchBelow }) => mayMatchBelow(directory)),
  };
}

interface Pattern {
  isException: boolean;
  /** Whether it matches the path or a directory that the path lies in. */
  matches: (path: string) => boolean;
  mayMatchBelow: (directory: string) => boolean;
}

/**
 * One step of a pattern. `star` is `*`; `any` is `**` where it stands for anything at all; `directories` is `**` before something: nothing,
 * or anything that ends in `/`.
 */
type Token =
  | { kind: 'character'; character: string }
  | { kind: 'one' | 'star' | 'any' | 'directories' }
  | { kind: 'class'; isNegated: boolean; ranges: readonly [number, number][] };

function parseLine(line: string): Pattern[] {
  if (line.startsWith('#')) return [];
  const trimmed = line.trim();
  const isException = trimmed.startsWith('!');
  const text = isException ? trimmed.slice(1).trim() : trimmed;
  if (trimmed === '') return [];
  if (text === '') throw refused(line, 'takes in nothing');
  const cleaned = clean(text);
  const tokens = parseTokens(cleaned, line);
  if (tokens.every(({ kind }) => kind === 'character')) {
    const literal = tokens.map((token) => (token as { character: string }).character).join('');
    return [
      {
        isException,
        matches: (path) => path.startsWith(literal) && (path.length === literal.length || path[literal.length] === '/'),
        mayMatchBelow: (directory) => literal.startsWith(`${directory}/`),
      },
    ];
  }
  return [
    {
      isException,
      matches: (path) => run(tokens, path, false),
      mayMatchBelow: (directory) => run(tokens, `${directory}/`, true),
    },
  ];
}

/** As Go's `filepath.Clean` has it, without the `/` that a rooted pattern begins with. */
function clean(pattern: string): string {
  const kept: string[] = [];
  const isRooted = pattern.startsWith('/');
  for (const segment of pattern.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment !== '..') kept.push(segment);
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop();
    else if (!isRooted) kept.push(segment);
  }
  return kept.length === 0 ? '.' : kept.join('/');
}

function parseTokens(pattern: string, line: string): Token[] {
  const tokens: Token[] = [];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; ) {
    const character = characters[at++]!;
    if (character === '*' && characters[at] === '*') {
      at++;
      const isSlash = characters[at] === '/';
      if (isSlash) at++;
      const rest = characters.slice(at);
      // At the beginning, before what holds no sign, Docker takes it for "ends in".
      const isSuffix = at === 2 && !isSlash && !rest.some((one) => '*?[]\\'.includes(one));
      tokens.push({ kind: rest.length === 0 || isSuffix ? 'any' : 'directories' });
    } else if (character === '*') {
      tokens.push({ kind: 'star' });
    } else if (character === '?') {
      tokens.push({ kind: 'one' });
    } else if (character === '[') {
      at = parseClass(characters, at, tokens, line);
    } else if (character === '\\') {
      const escaped = characters[at++];
      if (escaped === undefined) throw refused(line, 'ends in a backslash, which escapes nothing');
      tokens.push({ kind: 'character', character: escaped });
    } else {
      tokens.push({ kind: 'character', character });
    }
  }
  return tokens;
}

/** Reads a class after its `[`, as Go's `filepath.Match` has it, and gives where it ends. */
function parseClass(characters: readonly string[], start: number, tokens: Token[], line: string): number {
  let at = start;
  const isNegated = characters[at] === '^';
  if (isNegated) at++;
  const ranges: [number, number][] = [];
  const bound = (): number => {
    const isEscaped = characters[at] === '\\';
    if (isEscaped) at++;
    const character = characters[at++];
    if (character === undefined || (!isEscaped && (character === '-' || character === ']'))) {
      throw refused(line, 'holds a class, as in [a-z], that is empty, broken or without an end');
    }
    return character.codePointAt(0)!;
  };
  do {
    const from = bound();
    if (characters[at] === '-') {
      at++;
      ranges.push([from, bound()]);
    } else {
      ranges.push([from, from]);
    }
  } while (characters[at] !== ']');
  tokens.push({ kind: 'class', isNegated, ranges });
  return at + 1;
}

/**
 * Whether the tokens match the text or a part of it that ends before a `/`; with `isPrefix`, whether they match any text that begins so.
 * A state is the number of tokens that are done; for `directories` a second one, past the last, says that it has begun.
 */
function run(tokens: readonly Token[], text: string, isPrefix: boolean): boolean {
  const last = tokens.length;
  let states = new Uint8Array(2 * last + 1);
  let next = new Uint8Array(2 * last + 1);
  enter(tokens, states, 0);
  for (const character of text) {
    if (character === '/' && states[last] === 1 && !isPrefix) return true;
    next.fill(0);
    let isAlive = false;
    for (let state = 0; state < states.length; state++) {
      if (states[state] === 1 && step(tokens, next, state, character)) isAlive = true;
    }
    if (!isAlive) return false;
    [states, next] = [next, states];
  }
  return isPrefix || states[last] === 1;
}

/** Puts a state in, and those that follow without a character. */
function enter(tokens: readonly Token[], states: Uint8Array, state: number): void {
  for (let at = state; states[at] === 0; at++) {
    states[at] = 1;
    const kind = tokens[at]?.kind;
    if (kind !== 'star' && kind !== 'any' && kind !== 'directories') return;
  }
}

/** Takes one character from one state; false where that leads nowhere. */
function step(tokens: readonly Token[], next: Uint8Array, state: number, character: string): boolean {
  const last = tokens.length;
  if (state > last) {
    // Within `directories`, which may end with each `/`.
    next[state] = 1;
    if (character === '/') enter(tokens, next, state - last);
    return true;
  }
  const token = tokens[state];
  switch (token?.kind) {
    case 'any':
      enter(tokens, next, state);
      return true;
    case 'star':
      if (character === '/') return false;
      enter(tokens, next, state);
      return true;
    case 'directories':
      next[last + state + 1] = 1;
      if (character === '/') enter(tokens, next, state + 1);
      return true;
    case 'one':
      if (character === '/') return false;
      break;
    case 'class': {
      const code = character.codePointAt(0)!;
      if (token.ranges.some(([from, to]) => code >= from && code <= to) === token.isNegated) return false;
      break;
    }
    case 'character':
      if (character !== token.character) return false;
      break;
    default:
      return false;
  }
  enter(tokens, next, state + 1);
  return true;
}

function refused(line: string, why: string): StowageError {
  return new StowageError('ARGUMENT_INVALID', `The ignore pattern ${JSON.stringify(line)} ${why}. Correct it.`, {
    line,
  });
}
