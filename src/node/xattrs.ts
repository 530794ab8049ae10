/** Extended attributes on disk. No runtime has a call for them: `getfattr` and `setfattr`, of the package attr, read and restore a dump. */
import { realpath } from 'node:fs/promises';
import { StowageError } from '../errors.ts';
import { diskFailed } from '../storage/node-file.ts';
import { decodeText } from '../tar/decode-text.ts';
import { encodeText } from '../tar/text.ts';
import { runChild } from './child.ts';

/** Values as bytes, by full name. */
export type Xattrs = Readonly<Record<string, Uint8Array>>;

/** Labels and access lists of these kinds are the machine's own, as umoci has it. */
export function isPortable(name: string): boolean {
  return name !== 'security.selinux' && name !== 'system.nfs4_acl';
}

/**
 * Those of everything in a directory, by path relative to it, that are not this machine's own.
 *
 * @throws `RUNTIME_UNSUPPORTED` where getfattr cannot be started, `STORAGE_FAILED` where it fails.
 */
export async function readXattrs(root: string, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, Xattrs>> {
  const real = await realpath(root);
  const args = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', '--', real];
  const { code, complaint, output } = await runChild('getfattr', args, [], signal);
  if (code === undefined) {
    throw new StowageError(
      'RUNTIME_UNSUPPORTED',
      `getfattr could not be started to read extended attributes: ${complaint}. Install the package attr, or leave them out.`,
      { command: 'getfattr' },
    );
  }
  // What has gone meanwhile has no attributes, and neither has a file system that knows none.
  if (code !== 0 && !complaint.split('\n').every((line) => /No such file|not supported/.test(line)))
    throw diskFailed('reading extended attributes in', root, new Error(complaint.slice(0, 500)));
  const found = new Map<string, Xattrs>();
  const prefix = real.endsWith('/') ? real : `${real}/`;
  for (const file of output.toString('latin1').split('\n\n')) {
    const [head = '', ...lines] = file.split('\n');
    const path = unescaped(head.slice('# file: '.length));
    const attributes = lines.flatMap((line): [string, Uint8Array][] => {
      const [name = '', value = ''] = line.split('=0x');
      return line === '' || !isPortable(unescaped(name)) ? [] : [[unescaped(name), Buffer.from(value, 'hex')]];
    });
    if (path.startsWith(prefix) && attributes.length > 0)
      found.set(path.slice(prefix.length), Object.fromEntries(attributes));
  }
  return found;
}

/** One file's part of a dump: its path as the platform takes it, and of its attributes those of these names. */
export function dumpXattrs(path: string | Buffer, xattrs: Xattrs, names: readonly string[]): Uint8Array {
  const lines = names.map((name) => `${escaped(name)}=0x${Buffer.from(xattrs[name]!).toString('hex')}\n`);
  return Buffer.from(`# file: ${escaped(path)}\n${lines.join('')}\n`);
}

/** Sets what the dump says; links are not followed. Where that cannot be, the sentence says why. Throws `STORAGE_FAILED` for what else fails. */
export async function restoreXattrs(
  dump: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { code, complaint } = await runChild('setfattr', ['-h', '--restore=-'], dump, signal);
  if (code === 0) return undefined;
  if (code === undefined) return `setfattr could not be started (${complaint}). It is in the package attr.`;
  if (complaint.split('\n').every((line) => /not supported|not permitted/.test(line)))
    return `this file system does not take them: ${complaint.slice(0, 500)}`;
  throw diskFailed('setting extended attributes', undefined, new Error(complaint.slice(0, 500)));
}

/** As the two quote names in a dump: octal for all that is not plain. */
function escaped(name: string | Buffer): string {
  const bytes = typeof name === 'string' ? (encodeText(name) ?? Buffer.from(name)) : name;
  let text = '';
  for (const byte of bytes) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x5c && byte !== 0x3d;
    text += isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, '0')}`;
  }
  return text;
}

/** The other way round, from bytes as characters. */
function unescaped(quoted: string): string {
  const octal = (_: string, digits: string): string => String.fromCharCode(Number.parseInt(digits, 8));
  return decodeText(Buffer.from(quoted.replace(/\\([0-7]{3})/g, octal), 'latin1'));
}
