/** The files that someone has added, each with its place in the image. */
import type { Recipe } from './messages.ts';
import { create, element, formatBytes } from './page-elements.ts';
import { readPart } from './read-part.ts';

interface Row {
  file: File;
  path: HTMLInputElement;
  executable: HTMLInputElement;
}

const rows = new Set<Row>();
const list = element('file-list', HTMLUListElement);

/** Adds a row for a file; `onRemoved` is told when its button takes it away. */
export async function listFile(file: File, onRemoved: () => void): Promise<void> {
  // First of all, as it fails for what is no file.
  const isExecutable = await isProgram(file);
  const item = create('li');
  const path = create('input');
  path.value = `/app/${file.name}`;
  path.required = true;
  path.spellcheck = false;
  path.setAttribute('aria-label', `Path of ${file.name} in the image`);
  const executable = create('input');
  executable.type = 'checkbox';
  executable.checked = isExecutable;
  const label = create('label');
  label.append(executable, 'Executable', create('span', ` ${file.name}`, 'unseen'));
  const remove = create('button', 'Remove', 'quiet');
  remove.type = 'button';
  remove.append(create('span', ` ${file.name}`, 'unseen'));
  const row = { file, path, executable };
  remove.addEventListener('click', () => {
    rows.delete(row);
    item.remove();
    element('files', HTMLInputElement).focus();
    onRemoved();
  });
  item.append(path, remove, label, create('span', formatBytes(file.size), 'size'));
  list.append(item);
  rows.add(row);
}

/** What the rows say. */
export function filesToPack(): Recipe['files'] {
  return [...rows].map(({ file, path, executable }) => ({
    path: path.value,
    content: file,
    executable: executable.checked,
  }));
}

/** Browsers tell no permissions; programs of Linux begin with `\x7fELF`, and scripts with `#!`. */
async function isProgram(file: File): Promise<boolean> {
  const start = new TextDecoder('latin1').decode(await readPart(file, 0, 4));
  return start === '\x7fELF' || start.startsWith('#!');
}
