/**
 * Runs the portable tests in one runtime after the other and prints what each made of them: `tsx test/runtimes/run.ts`
 * for all, with names for some. A runtime that is missing is skipped by name, or fails the run where CI=true.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inContinuousIntegration } from '../peers/debian.ts';
import { bun } from './bun.ts';
import { bundleSuite, cache, type Inside, portableTests } from './bundle.ts';
import { chromium } from './chromium.ts';
import { deno } from './deno.ts';
import { firefox } from './firefox.ts';
import type { SuiteEvent } from './harness.ts';
import { node } from './node.ts';
import type { Running, Runtime } from './runtime.ts';
import { webkit } from './webkit.ts';
import { workerd } from './workerd.ts';

/** What a runtime made of the tests. */
interface Outcome {
  runtime: string;
  version: string;
  passed: number;
  skipped: number;
  failed: string[];
  /** Golden vectors: how many of how many came out as recorded. */
  vectors: { matched: number; total: number };
  seconds: number;
}

const runtimes: Runtime[] = [node(20), node(22), node(24), node(26), deno, bun, workerd, chromium, firefox, webkit];

/** A hang must not eat the time of the others: the whole suite takes about a minute in the slowest. */
const patience = 6 * 60_000;

/** As many as the smallest machine has cores. */
const atOnce = 2;

const named = process.argv.slice(2);
const unknown = named.filter((name) => !runtimes.some((runtime) => runtime.name === name));
if (unknown.length > 0)
  throw new Error(`no runtime ${unknown}; there are ${runtimes.map(({ name }) => name).join(', ')}`);
const wanted = runtimes.filter(({ name }) => named.length === 0 || named.includes(name));

const found = wanted.map((runtime) => ({ runtime, program: runtime.find() }));
const missing = found.filter(({ program }) => program === undefined).map(({ runtime }) => runtime);
const bundles = new Map<Inside, string>();
for (const inside of new Set(wanted.map((runtime) => runtime.inside))) {
  bundles.set(inside, await bundleSuite(inside, portableTests()));
}

const outcomes = new Map<string, Outcome>();
const waiting = found.filter(({ program }) => program !== undefined);
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { runtime, program } = next;
      const outcome = await outcomeOf(runtime, program as string, bundles.get(runtime.inside) as string);
      outcomes.set(runtime.name, outcome);
      for (const failure of outcome.failed) console.log(`\n${runtime.name}: FAILED ${failure}`);
      console.log(`${runtime.name}: ${summary(outcome)}, ${outcome.seconds.toFixed(0)} s`);
    }
  }),
);
report(wanted.flatMap(({ name }) => outcomes.get(name) ?? []));

async function outcomeOf(runtime: Runtime, program: string, bundle: string): Promise<Outcome> {
  const outcome: Outcome = {
    runtime: runtime.name,
    version: '',
    passed: 0,
    skipped: 0,
    failed: [],
    vectors: { matched: 0, total: 0 },
    seconds: 0,
  };
  const began = Date.now();
  let last = 'before the first test';
  let done = (): void => undefined;
  const finished = new Promise<undefined>((resolve) => {
    done = () => resolve(undefined);
  });
  const events: SuiteEvent[] = [];
  const tell = (event: SuiteEvent): void => {
    events.push(event);
    if (event.event === 'done') done();
    else last = `${event.event === 'start' ? 'in' : 'after'} ${event.file}: ${event.test}`;
    if (event.event === 'end') count(outcome, event);
  };
  let running: Running | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    running = await runtime.start(program, bundle, tell);
    outcome.version = running.version;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`stopped after ${patience / 60_000} minutes`), patience);
    });
    const ended = running.ended.then((reason) => new Promise<string>((resolve) => setTimeout(resolve, 500, reason)));
    const trouble = await Promise.race([finished, ended, late]);
    if (trouble !== undefined) outcome.failed.push(`${last}\n${trouble}`);
  } catch (error) {
    outcome.failed.push(`it could not be started\n${error instanceof Error ? error.message : error}`);
  } finally {
    clearTimeout(timer);
    await running?.stop();
  }
  if (outcome.passed === 0 && outcome.failed.length === 0) outcome.failed.push('it ran no test');
  outcome.seconds = (Date.now() - began) / 1000;
  // For whoever asks what took so long.
  writeFileSync(join(cache, `${runtime.name}.json`), JSON.stringify(events, undefined, 1));
  return outcome;
}

function count(outcome: Outcome, { file, test, failure, skipped }: SuiteEvent & { event: 'end' }): void {
  const isVector = file.startsWith('test/vectors/');
  if (isVector) outcome.vectors.total += 1;
  if (skipped) outcome.skipped += 1;
  else if (failure === undefined) {
    outcome.passed += 1;
    if (isVector) outcome.vectors.matched += 1;
  } else outcome.failed.push(`${file}: ${test}\n${failure}`);
}

function summary({ passed, skipped, failed, vectors }: Outcome): string {
  const kinds = [
    `${passed} passed`,
    ...(failed.length > 0 ? [`${failed.length} failed`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return `${kinds.join(', ')}; vectors ${vectors.matched}/${vectors.total}`;
}

/** The table, the runtimes that are missing, and one closing line. */
function report(rows: Outcome[]): void {
  console.log('\n| runtime | version | tests passed | vectors matched | seconds |\n| --- | --- | --- | --- | --- |');
  for (const { runtime, version, passed, skipped, failed, vectors, seconds } of rows) {
    const tests = `${passed}/${passed + failed.length}${skipped > 0 ? ` (${skipped} skipped)` : ''}`;
    console.log(`| ${runtime} | ${version} | ${tests} | ${vectors.matched}/${vectors.total} | ${seconds.toFixed(0)} |`);
  }
  const isStrict = inContinuousIntegration();
  for (const { name, source } of missing) {
    console.log(`runtimes: missing ${name} (${source}); it ${isStrict ? 'may not be with CI=true' : 'is skipped'}`);
  }
  const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0);
  const failed = sum(rows.map((row) => row.failed.length)) + (isStrict ? missing.length : 0);
  console.log(`runtimes: ${sum(rows.map((row) => row.passed))} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}
