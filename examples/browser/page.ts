/** The page: takes what someone drops and types, asks the worker, and shows what it says. */
import { askWorker } from './ask-worker.ts';
import { filesToPack, listFile } from './file-list.ts';
import type { Recipe, Summary } from './messages.ts';
import { element, formatBytes } from './page-elements.ts';
import { showImage, showLayers } from './show-image.ts';

const inputs = element('inputs', HTMLFieldSetElement);
const status = element('status', HTMLElement);
const failure = element('failure', HTMLElement);
const progress = element('progress', HTMLProgressElement);
const save = element('save', HTMLButtonElement);
const base = element('base', HTMLInputElement);
const entrypoint = element('entrypoint', HTMLTextAreaElement);
const env = element('env', HTMLTextAreaElement);
const tag = element('tag', HTMLInputElement);

/** Whether what the worker has composed is what the form says. */
let isCurrent = false;

base.addEventListener('change', () => {
  const archive = base.files?.[0];
  // The same file may be chosen again.
  if (archive) void during(`Reading ${archive.name}…`, () => openBase(archive));
  base.value = '';
});

element('base-remove', HTMLButtonElement).addEventListener('click', () => {
  void during('Removing the base image…', async () => {
    await askWorker({ ask: 'close' });
    showBase(undefined);
    return 'The image starts empty.';
  }).then(() => base.focus());
});

element('files', HTMLInputElement).addEventListener('change', ({ target }) => {
  const chosen = target as HTMLInputElement;
  const files = [...(chosen.files ?? [])];
  chosen.value = '';
  void during('Adding files…', async () => {
    outdate();
    for (const file of files) await listFile(file, outdate);
    return `Added ${files.length === 1 ? files[0]?.name : `${files.length} files`}.`;
  });
});

element('recipe', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  void during('Composing…', async () => {
    const image = await askWorker({ ask: 'compose', recipe: recipe() });
    showImage(image);
    element('image', HTMLElement).hidden = false;
    element('nothing', HTMLElement).hidden = true;
    isCurrent = true;
    element('result-heading', HTMLElement).focus();
    return 'Composed. Save it, or change something and compose again.';
  });
});

save.addEventListener('click', () => {
  void during('Writing the archive…', async () => {
    const archive = await askWorker({ ask: 'save', tag: tag.value });
    const link = document.createElement('a');
    link.href = URL.createObjectURL(archive);
    link.download = `${tag.value.replace(/[^\w.-]+/g, '-')}.tar`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    return `Saved ${link.download}, ${formatBytes(archive.size)}. Load it with: podman load -i ${link.download}`;
  });
});

element('copy', HTMLButtonElement).addEventListener('click', () => {
  void during('Copying…', async () => {
    try {
      await navigator.clipboard.writeText(element('digest', HTMLElement).textContent ?? '');
    } catch {
      throw new Error('The browser lets this page copy nothing. Mark the digest and copy it by hand.');
    }
    return 'Copied the digest.';
  });
});

element('recipe', HTMLFormElement).addEventListener('input', outdate);

for (const zone of document.querySelectorAll('.drop')) {
  for (const type of ['dragenter', 'dragleave', 'drop'])
    zone.addEventListener(type, () => zone.classList.toggle('over', type === 'dragenter'));
}

// A file that misses its zone would be opened in place of the page.
for (const type of ['dragover', 'drop']) {
  addEventListener(type, (event) => {
    if (!(event.target as Element).closest?.('.drop')) event.preventDefault();
  });
}

/** Runs one task with all else out of reach; what it gives is said at its end. */
async function during(doing: string, task: () => Promise<string>): Promise<void> {
  const focused = document.activeElement;
  inputs.disabled = save.disabled = true;
  failure.hidden = true;
  progress.hidden = false;
  progress.removeAttribute('value');
  status.textContent = doing;
  try {
    status.textContent = await task();
  } catch (error) {
    status.textContent = '';
    failure.textContent = (error as Error).message;
    failure.hidden = false;
  }
  progress.hidden = true;
  inputs.disabled = false;
  save.disabled = !isCurrent;
  // What is out of reach loses the focus.
  const isLost = document.activeElement === document.body || document.activeElement === focused;
  if (isLost && focused instanceof HTMLElement) focused.focus({ preventScroll: true });
}

async function openBase(archive: File): Promise<string> {
  showBase(undefined);
  const { tag: name, images } = await askWorker({ ask: 'open', archive });
  showBase({
    name: name ?? archive.name,
    summary: `${archive.name}, ${formatBytes(archive.size)}`,
    images,
  });
  return `Read ${archive.name}.`;
}

function showBase(facts: { name: string; summary: string; images: Summary['images'] } | undefined): void {
  outdate();
  element('base-facts', HTMLElement).hidden = facts === undefined;
  element('platform-field', HTMLElement).hidden = facts !== undefined;
  element('base-name', HTMLElement).textContent = facts?.name ?? '';
  element('base-summary', HTMLElement).textContent = facts?.summary ?? '';
  // What holds where nothing is typed.
  entrypoint.placeholder = facts ? (facts.images[0]?.entrypoint ?? []).join('\n') : '/app/server';
  showLayers('base-layers', facts?.images ?? []);
}

/** What was composed is no longer what the form says. */
function outdate(): void {
  if (!isCurrent) return;
  isCurrent = false;
  save.disabled = true;
  status.textContent = 'Changed since. Compose it again before you save it.';
}

function recipe(): Recipe {
  const variables = lines(env).map((line) => {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new Error(`The environment has the line “${line}”. Write NAME=value.`);
    return [name, value] as const;
  });
  return {
    platform: element('platform', HTMLSelectElement).value,
    files: filesToPack(),
    entrypoint: lines(entrypoint),
    env: Object.fromEntries(variables),
  };
}

function lines(field: HTMLTextAreaElement): string[] {
  return field.value.split(/\r?\n/).filter((line) => line.trim() !== '');
}
