/**
 * What stands in for `vitest` where Vitest cannot go: the part of its interface that the portable tests use, small
 * enough to be bundled with them and run in a browser's page or a Worker. `expect` is Vitest's own.
 */
import { chai, JestAsymmetricMatchers, JestChaiExpect, JestExtend, setState } from '@vitest/expect';
import { letEventsIn } from '../../src/bytes/event-loop.ts';

/** What is told while the tests run, one after the other. */
export type SuiteEvent =
  | { event: 'start'; file: string; test: string }
  | { event: 'end'; file: string; test: string; milliseconds: number; failure?: string; skipped?: true }
  | { event: 'done' };

type Body = () => unknown;
type Hook = () => unknown;
type Options = { timeout?: number } | number;
type Define = (name: string, ...rest: (Body | Options)[]) => void;
type DefineEach = (
  table: readonly unknown[],
) => (name: string, body: (...values: unknown[]) => unknown, options?: Options) => void;

interface Group {
  kind: 'group';
  name: string;
  children: (Group | Case)[];
  hooks: Record<'beforeAll' | 'afterAll' | 'beforeEach' | 'afterEach', Hook[]>;
}

interface Case {
  kind: 'case';
  name: string;
  body: Body;
  timeout: number;
  isSkipped: boolean;
}

/** As in vite.config.ts; a test that takes longer says so. What hangs without giving way is stopped from outside. */
const defaultTimeout = 60_000;

const files: Group[] = [];
let current: Group = newGroup('');

/** Opens the test file that the tests defined from here on belong to; the bundle calls it before each. */
export function startFile(file: string): void {
  current = newGroup(file);
  files.push(current);
}

/** Runs every test of the bundle in the order of its files and tells of each. */
export async function runSuite(tell: (event: SuiteEvent) => void): Promise<void> {
  for (const file of files) await runGroup(file, file.name, '', [], tell);
  tell({ event: 'done' });
}

export const describe: ((name: string, body: Body) => void) & { each: DefineEach } = Object.assign(
  (name: string, body: Body): void => {
    const parent = current;
    const group = newGroup(name);
    parent.children.push(group);
    current = group;
    try {
      if (body() instanceof Promise) throw new Error(`describe(${name}): only synchronous bodies run everywhere`);
    } finally {
      current = parent;
    }
  },
  { each: (table: readonly unknown[]) => eachRow(table, (name, body) => describe(name, body)) },
);

export const test: Define & {
  each: DefineEach;
  skipIf: (condition: unknown) => Define;
  runIf: (condition: unknown) => Define;
} = Object.assign(defineTest(false), {
  each: (table: readonly unknown[]) =>
    eachRow(table, (name, body, options) => defineTest(false)(name, body, options ?? defaultTimeout)),
  skipIf: (condition: unknown) => defineTest(Boolean(condition)),
  runIf: (condition: unknown) => defineTest(!condition),
});

export const beforeAll = (hook: Hook): void => void current.hooks.beforeAll.push(hook);
export const afterAll = (hook: Hook): void => void current.hooks.afterAll.push(hook);
export const beforeEach = (hook: Hook): void => void current.hooks.beforeEach.push(hook);
export const afterEach = (hook: Hook): void => void current.hooks.afterEach.push(hook);

export const expect: unknown = createExpect();

function createExpect(): unknown {
  for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin);
  const asymmetric = Reflect.get(globalThis, Symbol.for('asymmetric-matchers-object')) as object;
  const made = Object.assign(
    (value: unknown, message?: string) => chai.expect(value, message),
    chai.expect,
    asymmetric,
    {
      unreachable: (message = ''): never => chai.assert.fail(`expected not to be reached ${message}`),
    },
  );
  setState({ assertionCalls: 0 }, made as never);
  return made;
}

function newGroup(name: string): Group {
  return { kind: 'group', name, children: [], hooks: { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] } };
}

function defineTest(isSkipped: boolean): Define {
  return (name, ...rest) => {
    const body = rest.find((part) => typeof part === 'function');
    const options = rest.find((part): part is Options => typeof part !== 'function');
    if (body === undefined) throw new Error(`test(${name}): there is no body`);
    const timeout = (typeof options === 'number' ? options : options?.timeout) ?? defaultTimeout;
    current.children.push({ kind: 'case', name, body, timeout, isSkipped });
  };
}

/** Vitest's tables: a row that is an array is spread over the parameters; `%s` and its kin and `$field` go into the name. */
function eachRow(
  table: readonly unknown[],
  define: (name: string, body: Body, options?: Options) => void,
): ReturnType<DefineEach> {
  return (name, body, options) => {
    for (const row of table) {
      const values = Array.isArray(row) ? row : [row];
      let at = 0;
      const named = name
        .replace(/%[sdifjo]/g, () => shown(values[at++]))
        .replace(/\$(\w+)/g, (whole, field) => (isRecord(row) && field in row ? shown(row[field]) : whole));
      const define_ = options === undefined ? [] : [options];
      define(named, () => body(...values), ...define_);
    }
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

async function runGroup(
  group: Group,
  file: string,
  path: string,
  around: Group[],
  tell: (event: SuiteEvent) => void,
): Promise<void> {
  const groups = [...around, group];
  let broken: unknown;
  for (const hook of group.hooks.beforeAll) broken ??= await failureOf(hook, defaultTimeout);
  for (const child of group.children) {
    const name = path === '' ? child.name : `${path} > ${child.name}`;
    if (child.kind === 'group') await runGroup(child, file, name, groups, tell);
    else await runCase(child, file, name, groups, broken, tell);
  }
  for (const hook of group.hooks.afterAll) {
    const failure = await failureOf(hook, defaultTimeout);
    if (failure !== undefined) tell({ event: 'end', file, test: `${path} > afterAll`, milliseconds: 0, failure });
  }
}

async function runCase(
  { body, timeout, isSkipped }: Case,
  file: string,
  test: string,
  groups: Group[],
  broken: unknown,
  tell: (event: SuiteEvent) => void,
): Promise<void> {
  if (isSkipped) return tell({ event: 'end', file, test, milliseconds: 0, skipped: true });
  tell({ event: 'start', file, test });
  // What was told must get out before a test that may never give way.
  await letEventsIn();
  const began = Date.now();
  let failure = broken as string | undefined;
  for (const { hooks } of groups) for (const hook of hooks.beforeEach) failure ??= await failureOf(hook, timeout);
  failure ??= await failureOf(body, timeout);
  for (const { hooks } of groups.toReversed()) {
    for (const hook of hooks.afterEach) {
      const late = await failureOf(hook, timeout);
      failure ??= late;
    }
  }
  tell({ event: 'end', file, test, milliseconds: Date.now() - began, ...(failure === undefined ? {} : { failure }) });
}

async function failureOf(body: Body, timeout: number): Promise<string | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the test took longer than ${timeout / 1000} s`)), timeout);
  });
  try {
    await Promise.race([body(), late]);
    return undefined;
  } catch (error) {
    return explain(error);
  } finally {
    clearTimeout(timer);
  }
}

/** The message, where it came from and why; engines differ in whether the stack repeats the message. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${shown(error)}`;
  const { name, message, stack = '', cause } = error;
  const values =
    'actual' in error && 'expected' in error ? `\n    got ${shown(error.actual)}, wanted ${shown(error.expected)}` : '';
  const at = stack.indexOf(message);
  const frames = (at < 0 ? stack : stack.slice(at + message.length)).split('\n').filter((line) => line.trim() !== '');
  const head = message.length > 1500 ? `${message.slice(0, 1500)}…` : message;
  const because = cause === undefined ? '' : `\n  because of ${explain(cause)}`;
  return [`${name}: ${head}${values}`, ...frames.slice(0, 6)].join('\n') + because;
}
