/**
 * fast-check with a share of the runs that tests ask for: Vitest makes them all in one runtime, and what the ten may
 * differ in shows in fewer.
 */
import * as fc from 'fast-check';

export * from 'fast-check';

const share = 0.25;

export function assert(property: fc.IRawProperty<unknown>, parameters: fc.Parameters<unknown> = {}): unknown {
  return fc.assert(property, { ...parameters, numRuns: Math.ceil((parameters.numRuns ?? 100) * share) });
}

const shared: object = { ...fc, assert };

export default shared;
