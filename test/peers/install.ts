/**
 * The first step of `npm test`: installs the peers that the tests judge our output with, where it may, and names
 * those that stay missing. Run by `npx tsx test/peers/install.ts`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  debianPackages,
  describeMissing,
  findPeer,
  hasPeer,
  inContinuousIntegration,
  type Need,
  peers,
} from './debian.ts';

const aptGet = '/usr/bin/apt-get';
const patience = ['-o', 'Acquire::Retries=3', '-o', 'Acquire::http::Timeout=30', '-o', 'DPkg::Lock::Timeout=120'];

const missing = (): typeof peers => peers.filter((peer) => findPeer(peer) === undefined);

const wanted = missing();
if (wanted.length === 0) {
  console.log(`peers: all ${peers.length} are here (${peers.join(', ')})`);
} else if (process.getuid?.() === 0 && existsSync(aptGet)) {
  install(wanted.map((peer) => debianPackages[peer]));
} else {
  console.log('peers: only root on Debian can install them here');
}

const absent: Need[] = [...missing(), ...(hasPeer('root') ? [] : ['root' as const])];
for (const need of absent) {
  console.log(`peers: missing ${describeMissing(need)}; the tests that need it ${verdict()}`);
}
if (absent.length > 0 && inContinuousIntegration()) {
  console.error('peers: with CI=true nothing may be missing; provide what is named above and run again');
  process.exitCode = 1;
}

function verdict(): string {
  return inContinuousIntegration() ? 'would fail' : 'are skipped by name';
}

/** Installs what it can: old package lists may do where new ones cannot be had, and one unknown package keeps back no other. */
function install(packages: string[]): void {
  console.log(`peers: installing ${packages.join(' ')} with apt-get`);
  run([...patience, 'update'], 180_000);
  const arguments_ = [...patience, 'install', '--yes', '--no-install-recommends'];
  if (run([...arguments_, ...packages], 600_000) || packages.length === 1) return;
  for (const name of packages) run([...arguments_, name], 300_000);
}

function run(arguments_: string[], timeout: number): boolean {
  const { status, signal, stderr, error } = spawnSync(aptGet, ['--quiet', ...arguments_], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout,
  });
  if (status === 0) return true;
  const reason = signal === null ? (error?.message ?? lastLine(stderr)) : `stopped after ${timeout / 1000} s`;
  console.log(`peers: apt-get ${arguments_.at(-1)} failed: ${reason}`);
  return false;
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
