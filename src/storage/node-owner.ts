/** Who made a file in a directory that processes share, and whether that process still lives. */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import process from 'node:process';
import { errorCode } from './node-file.ts';

/** A process, named so that neither a number that is used again nor another machine's or container's is taken for it. */
export interface Owner {
  /** Stands for machine, boot and process name space: only within the same one do process numbers mean anything. */
  host: string;
  pid: number;
  /** When the process began, in the kernel's own count; `0` where the platform does not say. */
  start: string;
}

/** `dead` only where that is certain; `unknown` for a process of another host, of which nothing can be seen. */
export type Liveness = 'alive' | 'dead' | 'unknown';

let self: Promise<Owner> | undefined;

/** This process. */
export function thisOwner(): Promise<Owner> {
  self ??= identify();
  return self;
}

/** Thirty-two hexadecimal digits that nobody else will ever draw. */
export function randomToken(): string {
  return randomBytes(16).toString('hex');
}

/** Whether the process still runs. One that was killed and only waits for its parent to notice is dead. */
export async function liveness(owner: Owner): Promise<Liveness> {
  if (owner.host !== (await thisOwner()).host) return 'unknown';
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // Any other answer (no right to signal it, no right to ask) says nothing of death.
    if (errorCode(error) === 'ESRCH') return 'dead';
  }
  const status = await processStatus(owner.pid);
  if (status === undefined || owner.start === '0') return 'alive';
  return status.ended || status.start !== owner.start ? 'dead' : 'alive';
}

async function identify(): Promise<Owner> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const names = await readlink('/proc/self/ns/pid').catch(() => '');
  const host = createHash('sha256').update(`${hostName()}\n${boot}\n${names}`).digest('hex').slice(0, 16);
  const status = await processStatus(process.pid);
  return { host, pid: process.pid, start: status?.start ?? '0' };
}

/** Deno asks for a permission to tell; without it, boot and name space must do. */
function hostName(): string {
  try {
    return hostname();
  } catch {
    return '';
  }
}

/** proc(5): the state is the third field of `stat`, the start time the 22nd; the second, the name, may itself hold spaces and brackets. */
async function processStatus(pid: number): Promise<{ ended: boolean; start: string } | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  const start = fields?.[19];
  if (state === undefined || start === undefined || !/^\d+$/.test(start)) return undefined;
  return { ended: state === 'Z' || state === 'X', start };
}
