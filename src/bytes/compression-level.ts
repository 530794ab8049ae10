/** How hard gzip tries, as numbers from 0 to 9. Apart from the encoder, so that an option is checked before that is loaded. */
import { StowageError } from '../errors.ts';

/** The level where none is given. */
export const defaultLevel = 6;

/** @throws `ARGUMENT_INVALID` for what is no compression level. */
export function checkLevel(level: number): void {
  if (Number.isInteger(level) && level >= 0 && level <= 9) return;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `level ${String(level)}: not a compression level. Give a whole number from 0 (stored) to 9 (smallest), or leave it out.`,
    { field: 'level', actual: level },
  );
}
