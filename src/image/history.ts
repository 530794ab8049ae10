/** Times and history entries of an image config (config.md, "history"): what was done, in the words of a Dockerfile. */
import { environment } from '../bytes/runtime.ts';
import { StowageError } from '../errors.ts';
import { resolveTimestamp, type Timestamp } from '../layer/timestamp.ts';
import type { History, ImageConfig } from '../oci/image-config.ts';

/** RFC 3339 in UTC, with a fraction only where there is one. */
export function formatTime(time: Timestamp): string {
  // Rounded, as a Date's milliseconds cut off what seconds as a fraction lack by a hair.
  const milliseconds = Math.round(resolveTimestamp(time) * 1000);
  if (milliseconds < earliest || milliseconds > latest) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `The time ${milliseconds / 1000} is outside of the years 0 to 9999, which RFC 3339 can say. Give a Date or seconds (not milliseconds) since the epoch.`,
    );
  }
  return new Date(milliseconds).toISOString().replace('.000Z', 'Z');
}

const earliest = Date.parse('0000-01-01T00:00:00Z');
const latest = Date.parse('9999-12-31T23:59:59.999Z');

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
  return [...completeHistory(config), entry];
}

/** The history with an entry for each layer: nameless ones behind what is there, if there are too few. */
export function completeHistory(config: ImageConfig): History[] {
  const history = [...(config.history ?? [])];
  for (let missing = config.rootfs.diff_ids.length - layerPositions(history).length; missing > 0; missing--)
    history.push({ comment: 'layer without history' });
  return history;
}

/** Where in the history the entries that made a layer stand, the base layer's first. */
export function layerPositions(history: readonly History[]): number[] {
  return [...history.keys()].filter((index) => !history[index]!.empty_layer);
}
