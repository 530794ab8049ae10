/** An image as the page shows it: its digest, and for each platform the layers, the lowest first. */
import type { Summary } from './messages.ts';
import { create, element, formatBytes } from './page-elements.ts';

export function showImage({ digest, images }: Summary): void {
  element('digest', HTMLElement).textContent = digest;
  const blobs = new Map(images.flatMap(({ layers }) => layers.map((layer) => [layer.digest, layer.size])));
  const total = [...blobs.values()].reduce((sum, size) => sum + size, 0);
  element('size', HTMLElement).textContent =
    `${formatBytes(total)} in ${blobs.size} layer${blobs.size === 1 ? '' : 's'}`;
  showLayers('platforms', images);
}

/** The layers of each platform, in the element of that id. */
export function showLayers(id: string, images: Summary['images']): void {
  element(id, HTMLElement).replaceChildren(...images.map((image) => showPlatform(image, images.length > 1)));
}

function showPlatform({ platform, digest, layers }: Summary['images'][number], isOneOfSeveral: boolean): HTMLElement {
  const shown = create('div', '', 'platform');
  const code = create('code', digest);
  code.title = digest;
  const size = layers.reduce((sum, layer) => sum + layer.size, 0);
  const list = create('ol', '', 'layers');
  list.append(...layers.map((layer) => showLayer(layer, size)));
  shown.append(create('h3', `${platform}, ${formatBytes(size)}`), ...(isOneOfSeveral ? [code] : []), list);
  return shown;
}

function showLayer({ digest, size, isNew }: Summary['images'][number]['layers'][number], total: number): HTMLElement {
  const item = create('li', '', 'layer');
  item.style.setProperty('--share', String(size / total));
  const code = create('code', digest);
  code.title = digest;
  item.append(
    create('span', isNew ? 'Your files' : 'Base', isNew ? 'new' : ''),
    code,
    create('span', formatBytes(size)),
  );
  return item;
}
