/** Items of nanotar's `parseTar` and `createTar` as files of a layer. Loaded when the first one comes. */
import type { ParsedTarFileItem, TarFileItem } from 'nanotar';
import { StowageError } from '../errors.ts';
import type { EntryType } from '../tar/entry.ts';
import type { LayerFile } from './file.ts';

/**
 * nanotar gives modes as octal text, and knows no link targets or device numbers. Times are milliseconds in what its
 * `createTar` takes, and seconds, as the header has them, in what its `parseTar` gives, which alone has a `type`. To
 * `createTar` an item without data is a directory.
 */
export function fromTarItem(item: TarFileItem | ParsedTarFileItem): LayerFile {
  const { mode, uid, gid, mtime } = item.attrs ?? {};
  const parsed = 'type' in item && item.type !== undefined;
  const type = parsed ? tarItemTypes[item.type as string] : item.data == null ? 'directory' : 'file';
  if (mode !== undefined && !/^[0-7]{1,7}$/.test(String(mode))) {
    throw new StowageError(
      'FILE_INVALID',
      `File ${JSON.stringify(item.name)}: mode is ${JSON.stringify(mode)}; nanotar's are octal digits, as in "644".`,
      { path: item.name, field: 'mode' },
    );
  }
  if (!type) {
    throw new StowageError(
      'FILE_INVALID',
      `${JSON.stringify(item.name)} is a nanotar item of type ${'type' in item && item.type}, whose target or number nanotar does not keep. Give it as { path, type, linkTarget }.`,
      { path: item.name },
    );
  }
  const isDirectory = typeof item.name === 'string' && item.name.endsWith('/');
  return {
    path: item.name,
    type: isDirectory ? 'directory' : type,
    body: type === 'file' && !isDirectory ? item.data : undefined,
    mode: mode === undefined ? undefined : Number.parseInt(mode, 8) & 0o7777,
    uid,
    gid,
    mtime: parsed || mtime === undefined ? mtime : mtime / 1000,
  };
}

const tarItemTypes: Record<string, EntryType> = {
  file: 'file',
  contiguousFile: 'file',
  directory: 'directory',
  fifo: 'fifo',
};
