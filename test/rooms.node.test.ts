/** Holds the house plan: the import order of the rooms of `src/`, what core modules may touch, and how long a file may be. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, test } from 'vitest';

/** Rooms in the order in which they may import: each only those before it, and itself. */
const rooms = [
  'errors.ts',
  'limits.ts',
  'oci',
  'bytes',
  'tar',
  'storage',
  'content',
  'layer',
  'image',
  'layout',
  'registry',
  'server',
  'node',
  'index.ts',
];

const source = join(import.meta.dirname, '..', 'src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => statSync(join(source, path)).isFile())
  .sort();
const modules = files.filter((path) => path.endsWith('.ts')).map(readModule);

describe('the rooms of src/', () => {
  test('every file stands in a room of the plan', () => {
    expect(files.filter((path) => !rooms.includes(roomOf(path)))).toEqual([]);
  });

  test('a room imports only rooms above it or itself', () => {
    const wrong = modules.flatMap(({ path, imports }) =>
      imports
        .filter(({ target }) => target !== undefined && rooms.indexOf(roomOf(target)) > rooms.indexOf(roomOf(path)))
        .map(({ specifier }) => `${path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test('no module imports itself by way of others', () => {
    expect(findCycle()).toBeUndefined();
  });

  test("only Node's own modules import node:", () => {
    expect(
      offenders(
        (module) => !isForNode(module.path) && module.imports.some(({ specifier }) => specifier.startsWith('node:')),
      ),
    ).toEqual([]);
  });

  test("portable modules reach Node's own only at run time, from one place", () => {
    expect(
      offenders(
        ({ path, code }) =>
          path !== 'bytes/runtime.ts' && !isForNode(path) && /\b(process|Buffer|Deno|Bun)\s*[.?[(]/.test(code),
      ),
    ).toEqual([]);
  });

  test('packages are imported only where package.json names them', () => {
    const { dependencies } = JSON.parse(readFileSync(join(source, '..', 'package.json'), 'utf8'));
    const known = Object.keys(dependencies);
    const wrong = modules.flatMap(({ path, imports }) =>
      imports
        .filter(({ specifier, target }) => target === undefined && !specifier.startsWith('node:'))
        .filter(({ specifier }) => !known.some((name) => specifier === name || specifier.startsWith(`${name}/`)))
        .map(({ specifier }) => `${path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test('nothing is compiled or evaluated at run time', () => {
    expect(
      offenders(({ code }) => /\bWebAssembly\b|\beval\s*\(|\bnew\s+Function\b|\bimportScripts\b/.test(code)),
    ).toEqual([]);
  });

  test('index modules re-export and hold no code', () => {
    const isBarrel = (path: string): boolean => path === 'index.ts' || path.endsWith('/index.ts');
    expect(
      offenders(
        ({ path, code }) =>
          isBarrel(path) &&
          code.replace(/export\s+(type\s+)?(\*|\{[^}]*\})\s*(as \w+\s*)?from\s*'[^']*';/g, '').trim() !== '',
      ),
    ).toEqual([]);
  });

  test('a file is one idea: none is over 16 kB', () => {
    expect(files.filter((path) => statSync(join(source, path)).size > 16 * 1024)).toEqual([]);
  });
});

interface Module {
  /** Relative to `src/`. */
  path: string;
  /** Without comments. */
  code: string;
  imports: Import[];
}

interface Import {
  specifier: string;
  /** The imported file, relative to `src/`; `undefined` for a package. */
  target: string | undefined;
  isTypeOnly: boolean;
}

function readModule(path: string): Module {
  const code = readFileSync(join(source, path), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '');
  const found = code.matchAll(/\b(import|export)(\s+type\b)?[^'";]*?\bfrom\s*'([^']+)'|\bimport\s*\(?\s*'([^']+)'/g);
  const imports = [...found].map((match): Import => {
    const specifier = match[3] ?? match[4] ?? '';
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined;
    return { specifier, target, isTypeOnly: match[2] !== undefined };
  });
  return { path, code, imports };
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? path;
}

/** The directory adapter, which may be in several files, and the room for Node. */
function isForNode(path: string): boolean {
  return /^storage\/node(-[a-z]+)*\.ts$/.test(path) || roomOf(path) === 'node';
}

function offenders(isWrong: (module: Module) => boolean): string[] {
  return modules.filter(isWrong).map(({ path }) => path);
}

/** The files of one import cycle, type-only imports left out because they are erased. */
function findCycle(): string[] | undefined {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const finished = new Set<string>();
  const visit = (path: string, trail: string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (finished.has(path)) return undefined;
    for (const { target, isTypeOnly } of byPath.get(path)?.imports ?? []) {
      const cycle = target === undefined || isTypeOnly ? undefined : visit(target, [...trail, path]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(path);
    return undefined;
  };
  for (const { path } of modules) {
    const cycle = visit(path, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
