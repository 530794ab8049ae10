/**
 * Platforms, `os/architecture[/variant]`: image-spec's image-index.md for their fields, and the rules of containerd's
 * platforms module for their many spellings and for which image runs where.
 */
import { type Check, list, record, refusal, string } from './check.ts';

/** What an image asks of the machine that runs it. Values are Go's `GOOS` and `GOARCH`. */
export interface Platform {
  architecture: string;
  os: string;
  /** Windows: `10.0.17763.1234`. */
  'os.version'?: string;
  'os.features'?: string[];
  /** Of the processor, as `v7` of arm, `v8` of arm64, `v3` of amd64. */
  variant?: string;
}

/**
 * Reads `linux/amd64`, `linux/arm/v7` or `windows(10.0.17763)/amd64`, in any case, with the aliases that
 * `normalizePlatform` knows. What was left out stays out: `linux/arm` has no variant. A `v8` of arm64 is kept.
 *
 * @throws `PLATFORM_INVALID`
 */
export function parsePlatform(text: string): Platform {
  const parts =
    typeof text === 'string' &&
    text.length < 256 &&
    /^([\w-]+)(?:\(([\w.-]*)((?:\+[\w.-]+)*)\))?\/([\w.-]+)(?:\/([\w.-]+))?$/.exec(text.trim());
  if (!parts) {
    const rule = 'os/architecture[/variant], such as linux/arm64';
    throw refusal('PLATFORM_INVALID', 'platform')('', rule, text);
  }
  const [, os, version, features, architecture, variant] = parts as unknown as [
    string,
    string,
    ...(string | undefined)[],
  ];
  const platform: Platform = { architecture: architecture!, os };
  if (version) platform['os.version'] = version;
  if (features) platform['os.features'] = features.slice(1).split('+');
  if (variant) platform.variant = variant;
  const normal = normalizePlatform(platform);
  if (normal.architecture === 'arm64' && variant) normal.variant ??= 'v8';
  if (!statesVariant(platform)) delete normal.variant;
  return normal;
}

/** Reads a list: `linux/amd64,linux/arm64` or an array. A platform that stands there twice is taken once. */
export function parsePlatforms(list: string | readonly string[]): Platform[] {
  const seen = new Map<string, Platform>();
  for (const text of typeof list === 'string' ? list.split(',') : list) {
    const platform = parsePlatform(text);
    const key = formatPlatform(normalizePlatform(platform));
    if (!seen.has(key)) seen.set(key, platform);
  }
  return [...seen.values()];
}

/** `os/architecture[/variant]`, with version and features of the operating system in parentheses where it has them. */
export function formatPlatform(platform: Platform): string {
  const detail = [platform['os.version'] ?? '', ...(platform['os.features'] ?? [])].join('+');
  return [platform.os + (detail && `(${detail})`), platform.architecture, platform.variant].filter(Boolean).join('/');
}

/**
 * One spelling for platforms that are the same: lower case, `aarch64` → `arm64`, `x86_64` → `amd64`, `i386` → `386`,
 * `armhf` → `arm/v7`, `armel` → `arm/v6`, `arm` → `arm/v7`, `arm64/v8` → `arm64`, `amd64/v1` → `amd64`,
 * `macos` → `darwin`. Other fields are kept.
 */
export function normalizePlatform(platform: Platform): Platform {
  const os = lower(platform.os);
  let architecture = lower(platform.architecture);
  let variant = lower(platform.variant);
  if (Object.hasOwn(aliases, architecture)) [architecture, variant = variant] = aliases[architecture]!;
  if (/^arm(64)?$/.test(architecture)) variant = variant.replace(/^(?=\d)/, 'v');
  if (architecture === 'arm') variant ||= 'v7';
  if (architecture === 'arm64') variant = variant.replace(/^v8(\.0)?$/, '').replace(/^v9\.0$/, 'v9');
  if (architecture === 'amd64' && variant === 'v1') variant = '';
  const normal: Platform = { ...platform, architecture, os: os === 'macos' ? 'darwin' : os };
  if (variant) normal.variant = variant;
  else delete normal.variant;
  return normal;
}

/** Whether operating system and architecture are the target's, and the variant too where the target states one. */
export function matchesPlatform(platform: Platform, target: Platform): boolean {
  const have = normalizePlatform(platform);
  const want = normalizePlatform(target);
  return isSameMachine(have, want) && (!statesVariant(target) || have.variant === want.variant);
}

export const platformShape: Record<string, Check<unknown>> = {
  architecture: string,
  os: string,
  'os.version': string,
  'os.features': list(string),
  variant: string,
};

export const platformRecord: Check<Platform> = record(platformShape, ['architecture', 'os']);

const aliases: Record<string, [architecture: string, variant?: string]> = {
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  i386: ['386', ''],
  i686: ['386', ''],
  'x86-64': ['amd64'],
  x86_64: ['amd64'],
};

function lower(text: unknown): string {
  return typeof text === 'string' ? text.toLowerCase() : '';
}

/** Plain `arm` normalises to v7 without anyone having said so. */
function statesVariant(target: Platform): boolean {
  return !!target.variant || (lower(target.architecture) !== 'arm' && !!normalizePlatform(target).variant);
}

/** Of two normalised platforms, whether operating system and architecture are the same. */
export function isSameMachine(have: Platform, want: Platform): boolean {
  return have.os === want.os && have.architecture === want.architecture;
}
