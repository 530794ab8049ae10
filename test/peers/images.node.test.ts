/** The images that other tests read are real: the field's own tools take them, and their program runs. */
import { describe, expect } from 'vitest';
import { archive, archiveNames, archiveNeeds, greeting, ingredients } from './images.ts';
import { peerTest, runWithRunc } from './peers.ts';

describe('real archives', () => {
  for (const name of archiveNames) {
    peerTest(archiveNeeds, `hold what their digests say: ${name}`, async () => {
      const { expected } = await archive(name);
      expect(expected.images.length).toBeGreaterThan(0);
      for (const image of expected.images) expect(image.layerDigests).toHaveLength(image.diffIds.length);
    });
  }

  peerTest(archiveNeeds, 'hold a program that runs', async () => {
    const { app, umoci } = await ingredients();
    expect(await runWithRunc(app, 'app:1')).toBe(greeting);
    expect(await runWithRunc(umoci, 'packed')).toBe(greeting);
  });
});
