/** The programs that judge our output, as Debian packages them, and where they are on this machine. */
import { accessSync, closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program of the field that the tests run, by the command's name. */
export type Peer = keyof typeof debianPackages;

/** What a test may need: a peer, or to be root with the right to mount, which containers ask for. */
export type Need = Peer | 'root';

/** Each peer's Debian package; browsers are peers too, since the tests run in them. */
export const debianPackages = {
  skopeo: 'skopeo',
  umoci: 'umoci',
  podman: 'podman',
  buildah: 'buildah',
  runc: 'runc',
  busybox: 'busybox-static',
  bsdtar: 'libarchive-tools',
  tar: 'tar',
  gzip: 'gzip',
  pigz: 'pigz',
  'libdeflate-gunzip': 'libdeflate-tools',
  setfattr: 'attr',
  chromium: 'chromium',
  'firefox-esr': 'firefox-esr',
  WebKitWebDriver: 'webkit2gtk-driver',
  Xvfb: 'xvfb',
  'docker-registry': 'docker-registry',
} as const;

export const peers: readonly Peer[] = Object.keys(debianPackages) as Peer[];

/** True where a missing peer fails the tests rather than skipping them. */
export function inContinuousIntegration(): boolean {
  return process.env.CI === 'true' || process.env.CI === '1';
}

/** The peer's absolute path, or `undefined` where this machine lacks it. A busybox that needs shared libraries does not count. */
export function findPeer(peer: Peer): string | undefined {
  for (const directory of searchPath()) {
    const path = join(directory, peer);
    if (isExecutable(path) && (peer !== 'busybox' || isStatic(path))) return path;
  }
  return undefined;
}

/** True where the need is met; for `root`: user 0 with CAP_SYS_ADMIN. */
export function hasPeer(need: Need): boolean {
  return need === 'root' ? mayMount() : findPeer(need) !== undefined;
}

/** How to name a need that is not met, and what to do about it. */
export function describeMissing(need: Need): string {
  return need === 'root'
    ? 'root with CAP_SYS_ADMIN (run as root, in a container: --privileged)'
    : `${need} (Debian package ${debianPackages[need]})`;
}

/** PATH, and where Debian keeps runc although an ordinary user's PATH does not name it. */
function searchPath(): string[] {
  const named = (process.env.PATH ?? '').split(delimiter).filter((directory) => directory !== '');
  return [...named, '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** An ELF file names its loader, `/lib…/ld-…`, within its first page; a static one has none. */
function isStatic(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const page = Buffer.alloc(4096);
    const size = readSync(file, page, 0, page.length, 0);
    return !/\/ld[a-z0-9-]*[.-]/.test(page.toString('latin1', 0, size));
  } finally {
    closeSync(file);
  }
}

function mayMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    const systemAdministration = 21n;
    return effective !== undefined && ((BigInt(`0x${effective}`) >> systemAdministration) & 1n) === 1n;
  } catch {
    return false;
  }
}
