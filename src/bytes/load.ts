/** Parts of the library that are loaded when they are needed. */
import { StowageError } from '../errors.ts';

/**
 * What `import()` gives, called here so that every part that cannot be had fails alike.
 *
 * @throws `MODULE_UNAVAILABLE` where its script cannot be fetched; `cause` is the runtime's error.
 */
export async function load<T>(part: () => Promise<T>): Promise<T> {
  try {
    return await part();
  } catch (cause) {
    const problem =
      'A script of stowage cannot be loaded. Is the network gone, or the site deployed anew? Reload, or try again.';
    throw new StowageError('MODULE_UNAVAILABLE', problem, {}, { cause });
  }
}
