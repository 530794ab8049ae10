/** Times and history entries of an image config (config.md, "history"): what was done, in the words of a Dockerfile. */
import { environment } from '../bytes/runtime.ts';
import { resolveTimestamp, type Timestamp } from '../layer/file.ts';
import type { History, ImageConfig } from '../oci/image-config.ts';

/** RFC 3339 in UTC, with a fraction only where there is one. */
export function formatTime(time: Timestamp): string {
  return new Date(resolveTimestamp(time) * 1000).toISOString().replace('.000Z', 'Z');
}

/** The time of a change: the option, else `SOURCE_DATE_EPOCH`, else what the image had, else the epoch. */
export function changeTime(option: Timestamp | undefined, before: string | undefined): string {
  if (option === undefined && before !== undefined && !environment('SOURCE_DATE_EPOCH')) return before;
  return formatTime(resolveTimestamp(option));
}

/**
 * The history with one entry more. An image that came with fewer entries than layers gets nameless ones first, so that the
 * entries which are not `empty_layer` go on matching the layers one to one, as unpackers count on.
 */
export function addHistory(config: ImageConfig, entry: History): History[] {
  const history = [...(config.history ?? [])];
  const described = history.filter((known) => !known.empty_layer).length;
  for (let missing = config.rootfs.diff_ids.length - described; missing > 0; missing--)
    history.push({ comment: 'layer without history' });
  return [...history, entry];
}
