/**
 * Runs fuzz cases: `npm run fuzz` for ever, `npm run fuzz 600` for ten minutes, `npm run fuzz case 1234` for that one seed
 * again. The cases run in a process of their own, so that one that hangs is seen, named and ended.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { makeCorpus, runCase } from './fuzz.ts';

const [what, first, count] = process.argv.slice(2);
if (what === 'cases') await runCases(Number(first), Number(count));
else if (what === 'case') await runCases(Number(first), 1);
else await watch(Number(what ?? Number.POSITIVE_INFINITY));

/** Runs cases of consecutive seeds, and says which it has reached. */
async function runCases(from: number, number: number): Promise<void> {
  const corpus = await makeCorpus(foreignTars());
  const outcomes = { result: 0, refused: 0 };
  for (let seed = from; seed < from + number; seed++) {
    if (seed % 50 === 0) console.log(`at ${seed}`);
    outcomes[await runCase(seed, corpus)]++;
  }
  console.log(`done ${JSON.stringify(outcomes)}`);
}

/** Starts processes for batches of cases until the time is over. Ends with status 1 where one fails or falls silent. */
async function watch(seconds: number): Promise<void> {
  const end = Date.now() + seconds * 1000;
  const batch = 5000;
  let seed = Math.floor(Math.random() * 2 ** 30);
  for (let cases = 0; Date.now() < end; seed += batch, cases += batch) {
    console.log(`seeds ${seed} to ${seed + batch - 1}, ${cases} cases so far`);
    const remaining = Math.min(end - Date.now(), 2 ** 31 - 1);
    const status = await watchBatch(seed, batch, remaining);
    if (status !== 0) process.exit(1);
  }
}

function watchBatch(seed: number, number: number, remaining: number): Promise<number> {
  return new Promise((resolve) => {
    const args = [...process.execArgv, process.argv[1] as string, 'cases', String(seed), String(number)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let last = `at ${seed}`;
    const hung = (): void => {
      console.error(`${last}: none of the next 50 cases ended within a minute`);
      child.kill('SIGKILL');
    };
    let timer = setTimeout(hung, 60_000);
    const over = setTimeout(() => {
      child.kill('SIGKILL');
      resolve(0);
    }, remaining);
    child.stdout.on('data', (text: Buffer) => {
      clearTimeout(timer);
      timer = setTimeout(hung, 60_000);
      last = text.toString().trim().split('\n').at(-1) as string;
    });
    child.on('exit', (code) => {
      clearTimeout(timer);
      clearTimeout(over);
      resolve(code ?? 1);
    });
  });
}

/** Small tars of whatever tars there are here: sparse files, links, long names, in every format. */
function foreignTars(): Uint8Array[] {
  const directory = mkdtempSync(join(tmpdir(), 'fuzz-'));
  try {
    mkdirSync(join(directory, 'in', 'd'), { recursive: true });
    const file = (name: string): string => join(directory, 'in', name);
    writeFileSync(file('a'), 'hello');
    symlinkSync('a', file('link'));
    linkSync(file('a'), file('hard'));
    writeFileSync(file(`d/${'long'.repeat(40)}`), 'x');
    writeFileSync(file('sparse'), 'start');
    truncateSync(file('sparse'), 100_000);
    const fixed = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '-S', '-C', directory, '-cf'];
    const made = ['gnu', 'oldgnu', 'pax', 'ustar', 'v7'].map((format) => ['tar', `--format=${format}`, ...fixed]);
    const other = ['pax', 'gnutar', 'ustar'].map((format) => ['bsdtar', `--format=${format}`, '-C', directory, '-cf']);
    return [...made, ...other].flatMap(([tool, ...args], index) => {
      const archive = join(directory, `${index}.tar`);
      try {
        execFileSync(tool as string, [...args, archive, 'in'], { stdio: 'ignore' });
      } catch {
        // Not every format says every name, and not every machine has every tool.
      }
      try {
        return [new Uint8Array(readFileSync(archive))];
      } catch {
        return [];
      }
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
