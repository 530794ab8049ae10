/** Moments in time as options give them. */
import { environment } from '../bytes/runtime.ts';
import { StowageError } from '../errors.ts';

/** A moment in time from an option: a `Date`, or seconds since the epoch. */
export type Timestamp = Date | number;

/**
 * Seconds since the epoch for `time`, or where that is undefined `SOURCE_DATE_EPOCH` where the runtime has an environment,
 * else 0 (reproducible-builds.org, SOURCE_DATE_EPOCH).
 */
export function resolveTimestamp(time: Timestamp | undefined): number {
  const seconds =
    time instanceof Date ? time.getTime() / 1000 : (time ?? Number(environment('SOURCE_DATE_EPOCH') || 0));
  if (Number.isFinite(seconds)) return seconds;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `${time === undefined ? 'SOURCE_DATE_EPOCH' : 'A time'} is no number of seconds. Give a Date or seconds since the epoch.`,
  );
}
