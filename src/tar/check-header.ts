/** What the encoder refuses to write: headers that contradict themselves or that no archive could say. */
import { StowageError } from '../errors.ts';
import { octalMaximum } from './block.ts';
import { entryTypes, type TarHeader } from './entry.ts';

/** @throws `FILE_INVALID` naming the path and the field (`details.path`, `details.field`). */
export function checkHeader(header: TarHeader): void {
  const { type } = header;
  if (typeof header.path !== 'string' || header.path === '') throw fileInvalid(header, 'path', 'is empty');
  checkName(header, 'path', header.path);
  if (!entryTypes.has(type))
    throw fileInvalid(header, 'type', `is ${JSON.stringify(type)}, and not one of ${[...entryTypes].join(', ')}`);
  if (type !== 'directory' && header.path.endsWith('/')) {
    throw fileInvalid(header, 'path', 'ends in a slash, which only the path of a directory may');
  }
  checkRange(header, 'size', header.size, 0, Number.MAX_SAFE_INTEGER);
  if (type !== 'file' && header.size !== 0) throw fileInvalid(header, 'size', `must be 0 for a ${type}`);
  checkRange(header, 'mode', header.mode, 0, 0o7777);
  checkRange(header, 'uid', header.uid, 0, Number.MAX_SAFE_INTEGER);
  checkRange(header, 'gid', header.gid, 0, Number.MAX_SAFE_INTEGER);
  checkRange(header, 'mtime', header.mtime, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  if (header.nanoseconds !== undefined) checkRange(header, 'nanoseconds', header.nanoseconds, 0, 999_999_999);
  checkLink(header);
  checkDevice(header);
  if (header.uname !== undefined) checkName(header, 'uname', header.uname);
  if (header.gname !== undefined) checkName(header, 'gname', header.gname);
  if (header.xattrs !== undefined) checkXattrs(header, header.xattrs);
}

/** The error for a field of a header. */
export function fileInvalid(header: TarHeader, field: string, problem: string): StowageError {
  return new StowageError(
    'FILE_INVALID',
    `${JSON.stringify(header.path)}: ${field} ${problem}. Correct the entry, or leave it out.`,
    { path: header.path, field },
  );
}

function checkRange(header: TarHeader, field: string, value: number, minimum: number, maximum: number): void {
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return;
  throw fileInvalid(header, field, `is ${String(value)}, where a whole number from ${minimum} to ${maximum} must be`);
}

function checkName(header: TarHeader, field: string, value: string): void {
  if (value.includes('\0')) throw fileInvalid(header, field, 'holds a NUL, which ends a name');
}

function checkLink(header: TarHeader): void {
  const { type, linkTarget } = header;
  if (type !== 'symlink' && type !== 'hardlink') {
    if (linkTarget) throw fileInvalid(header, 'linkTarget', `makes no sense for a ${type}`);
    return;
  }
  if (!linkTarget) throw fileInvalid(header, 'linkTarget', `is missing, which a ${type} must have`);
  checkName(header, 'linkTarget', linkTarget);
}

function checkDevice(header: TarHeader): void {
  const { type, device } = header;
  if (type !== 'character-device' && type !== 'block-device') {
    if (device !== undefined) throw fileInvalid(header, 'device', `makes no sense for a ${type}`);
    return;
  }
  if (device === undefined) throw fileInvalid(header, 'device', `is missing, which a ${type} must have`);
  checkRange(header, 'device.major', device.major, 0, octalMaximum(7));
  checkRange(header, 'device.minor', device.minor, 0, octalMaximum(7));
}

function checkXattrs(header: TarHeader, xattrs: Record<string, Uint8Array>): void {
  for (const name of Object.keys(xattrs)) {
    const field = `xattrs[${JSON.stringify(name)}]`;
    if (name === '' || /[=\0]/.test(name)) throw fileInvalid(header, field, 'has a name that PAX cannot say');
    if (!ArrayBuffer.isView(xattrs[name])) throw fileInvalid(header, field, 'is no Uint8Array');
  }
}
