/** The config of an image changed field by field, those fields too that no method knows. */
import { StowageError } from '../errors.ts';
import type { ContainerConfig, ImageConfig } from '../oci/image-config.ts';
import { completeHistory, layerPositions } from './history.ts';
import type { Image } from './image.ts';

/** Fields to set; `undefined` removes one. Those of `config` are set one by one, as are those of the whole. */
export type ConfigPatch = Partial<Omit<ImageConfig, 'config' | 'rootfs'>> & { config?: Partial<ContainerConfig> };

/**
 * The image with another config: a patch over what is there, or what a function makes of a copy of it. Neither adds to the
 * history. Reads no layer.
 *
 * @throws `CONFIG_INVALID` for fields that the specification does not allow, for other diff IDs than those of the layers, and
 * for a history that says of more or fewer layers than there are.
 * @example
 * const image = withConfig(base, { author: 'me', config: { Healthcheck: { Test: ['CMD', '/check'] }, Cmd: undefined } });
 */
export function withConfig(image: Image, change: ConfigPatch | ((config: ImageConfig) => ImageConfig)): Image {
  const before = image.config;
  const config = typeof change === 'function' ? change(structuredClone(before)) : apply(before, change);
  if (String(config.rootfs?.diff_ids) !== String(before.rootfs.diff_ids)) {
    throw invalid(
      'rootfs.diff_ids',
      'differ from those of the layers. Change the layers with mapLayer() or removeLayer()',
    );
  }
  const described = layerPositions(config.history ?? []).length;
  if (config.history !== before.history && described > layerPositions(completeHistory(before)).length) {
    throw invalid(
      'history',
      `says of ${described} layers, but there are ${image.layers.length}. Mark steps without one as empty_layer`,
    );
  }
  return image.with({ config });
}

function apply(before: ImageConfig, patch: ConfigPatch): ImageConfig {
  const container = patch.config && patched(before.config ?? {}, patch.config);
  return patched(before, { ...patch, ...(container && { config: container }) });
}

function patched<T extends object>(before: T, patch: object): T {
  const after = { ...before, ...patch };
  return Object.fromEntries(Object.entries(after).filter(([, value]) => value !== undefined)) as T;
}

function invalid(field: string, why: string): StowageError {
  return new StowageError('CONFIG_INVALID', `The config's ${field} ${why}.`, { field });
}
