/** What is left to be done when all layers are applied: devices and fifos, extended attributes, and the attributes of directories. */
import { setImmediate } from 'node:timers/promises';
import { StowageError } from '../errors.ts';
import type { TarHeader } from '../tar/entry.ts';
import { type ChildResult, runChild } from './child.ts';
import { type Disk, ofPlatform } from './disk-file.ts';
import { type DiskTree, isMadeLate, type LeftOver, type Place } from './disk-tree.ts';
import { dumpXattrs, isPortable, restoreXattrs } from './xattrs.ts';

export interface FinishOptions {
  /** Whether to act as root: give files their owners, and take what only root may do as a failure where it cannot be done. */
  owners: boolean;
  devices: boolean;
  xattrs: boolean;
  /** Of a file, the mode that it was given at once. */
  modeOf: (header: TarHeader) => number;
  onWarning: ((message: string) => void) | undefined;
  signal: AbortSignal | undefined;
}

/** Finishes what the layers began. Directories' times are set last, as each name made in one changes them. */
export async function finishTree(tree: DiskTree, disk: Disk, options: FinishOptions): Promise<void> {
  await makeSpecialFiles(tree, disk, options);
  // Who is not root may have no way into a directory once it has its mode. Root sets them later: access lists change modes.
  if (!options.owners) await setXattrs(tree, disk, options);
  let turns = 0;
  for (const { path, node } of tree) {
    if (++turns % 1024 === 0) await setImmediate();
    options.signal?.throwIfAborted();
    if (node.isChanged && node.header) setAttributes(disk, path, node.header);
    else if (node.left && node.kind === 'file') {
      const { header } = node.left;
      if (options.modeOf(header) !== header.mode) disk.setMode(path, header.mode);
    }
  }
  if (options.owners) await setXattrs(tree, disk, options);
}

/** The root's attributes come last of all, since work goes on beneath it until then. */
export function finishRoot(tree: DiskTree, disk: Disk): void {
  if (tree.root.isChanged && tree.root.header) setAttributes(disk, '', tree.root.header);
}

function setAttributes(disk: Disk, path: string, header: TarHeader): void {
  try {
    disk.setAttributes(path, header);
  } catch (error) {
    throw ofPlatform(error, path) ?? error;
  }
}

/**
 * No runtime has a call for these, so mkfifo and mknod of the system make them; xargs starts them for many at once.
 */
async function makeSpecialFiles(tree: DiskTree, disk: Disk, options: FinishOptions): Promise<void> {
  const first = new Map<LeftOver, string>();
  const further: { path: string; first: string }[] = [];
  const passedOver: string[] = [];
  for (const { path, node } of tree) {
    if (!isMadeLate(node)) continue;
    const known = first.get(node.left!);
    if (node.kind !== 'fifo' && !options.devices) passedOver.push(path);
    else if (known !== undefined) further.push({ path, first: known });
    else first.set(node.left!, path);
  }
  if (passedOver.length > 0) {
    const named = `${passedOver.length} of them, such as ${JSON.stringify(passedOver[0])}`;
    options.onWarning?.(
      `Device files were passed over: ${named}. To make them, run as root or with { devices: true }.`,
    );
  }
  const fifos: Uint8Array[] = [];
  const devices: Uint8Array[] = [];
  for (const [{ header }, path] of first) {
    const name = terminated(disk.at(path));
    if (header.type === 'fifo') {
      fifos.push(name);
      continue;
    }
    const { major = 0, minor = 0 } = header.device ?? {};
    devices.push(name, encoder.encode(`${header.type === 'block-device' ? 'b' : 'c'}\0${major}\0${minor}\0`));
  }
  if (fifos.length > 0) await runFor('mkfifo', ['-0', 'mkfifo'], fifos, options);
  if (devices.length > 0) await runFor('mknod', ['-0', '-n', '4', 'mknod'], devices, options);
  for (const [{ header }, path] of first) setAttributes(disk, path, header);
  for (const { path, first: from } of further) disk.link(disk.at(from), path);
}

async function runFor(what: string, args: string[], input: Uint8Array[], options: FinishOptions): Promise<void> {
  const result = await runChild('xargs', args, input, options.signal);
  if (result.code === 0) return;
  if (result.code === undefined || result.code === 127) throw lacking('xargs', what, result);
  throw new StowageError(
    'STORAGE_FAILED',
    `${what} failed: ${result.complaint.slice(0, 500)}. Where this process has no right to make devices, leave them out with { devices: false }.`,
    { code: result.code },
  );
}

function lacking(command: string, what: string, { complaint }: ChildResult): StowageError {
  return new StowageError(
    'RUNTIME_UNSUPPORTED',
    `The layers hold devices or fifos, and ${command} could not be started to run ${what}: ${complaint}. Install both, or leave such files out first.`,
    { command },
  );
}

async function setXattrs(tree: DiskTree, disk: Disk, options: FinishOptions): Promise<void> {
  const dump: Uint8Array[] = [];
  const done = new Set<LeftOver>();
  const passedOver = new Set<string>();
  const take = ({ path, node }: Place): void => {
    const { xattrs } = (node.children ? node.isChanged && node.header : node.left?.header) || {};
    if (!xattrs || (node.left && done.has(node.left)) || (isMadeLate(node) && node.kind !== 'fifo' && !options.devices))
      return;
    if (node.left) done.add(node.left);
    const names = Object.keys(xattrs).filter((name) => {
      const isTaken = options.xattrs && isPortable(name) && (options.owners || name.startsWith('user.'));
      if (!isTaken) passedOver.add(name);
      return isTaken;
    });
    if (names.length > 0) dump.push(dumpXattrs(disk.at(path), xattrs, names));
  };
  for (const place of tree) take(place);
  take({ path: '', node: tree.root });
  if (passedOver.size > 0 && options.xattrs) {
    const names = [...passedOver].slice(0, 10).join(', ');
    options.onWarning?.(
      `Extended attributes were passed over, which belong to this machine or only root may set: ${names}.`,
    );
  }
  const problem = dump.length === 0 ? undefined : await restoreXattrs(dump, options.signal);
  if (problem !== undefined) options.onWarning?.(`Extended attributes were passed over: ${problem}`);
}

function terminated(name: string | Buffer): Uint8Array {
  return Buffer.concat([Buffer.from(name as string), Buffer.of(0)]);
}

const encoder = new TextEncoder();
