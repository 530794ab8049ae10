/** Chromium, from Debian's `chromium`. */
import { findPeer } from '../peers/debian.ts';
import { startBrowser } from './puppeteer.ts';
import type { Runtime } from './runtime.ts';

const flags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];

export const chromium: Runtime = {
  name: 'chromium',
  inside: 'page',
  source: 'Debian package chromium',
  find: () => findPeer('chromium'),
  start: (program, bundle, tell) => startBrowser('chrome', program, flags, bundle, tell),
};
