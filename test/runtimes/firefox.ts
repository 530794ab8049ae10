/** Firefox, from Debian's `firefox-esr`. */
import { findPeer } from '../peers/debian.ts';
import { startBrowser } from './puppeteer.ts';
import type { Runtime } from './runtime.ts';

export const firefox: Runtime = {
  name: 'firefox',
  inside: 'page',
  source: 'Debian package firefox-esr',
  find: () => findPeer('firefox-esr'),
  start: (program, bundle, tell) => startBrowser('firefox', program, [], bundle, tell),
};
