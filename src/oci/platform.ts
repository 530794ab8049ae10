/**
 * Platforms, `os/architecture[/variant]`: image-spec's image-index.md for their fields, and the rules of containerd's
 * platforms module for their many spellings and for which image runs where.
 */
import { type Check, grammar, list, record, refusal, string } from './check.ts';

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
 * `normalizePlatform` knows. What was left out stays out, `linux/arm` has no variant; what was said stays, as in
 * `linux/arm64/v8`.
 *
 * @throws `PLATFORM_INVALID`
 */
export function parsePlatform(text: string): Platform {
  const [, os, version, features, architecture, variant] = pattern.exec(
    platformText(text, '', refusal('PLATFORM_INVALID', 'platform')),
  )!;
  const platform: Platform = { architecture: architecture!, os: os! };
  if (version) platform['os.version'] = version;
  if (features) platform['os.features'] = features.slice(1).split('+');
  if (variant) platform.variant = variant;
  return respell(platform);
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
  const normal = respell(platform);
  const plain = plainVariant(normal.architecture);
  if (normal.architecture === 'arm') normal.variant ??= plain;
  else if (normal.variant === plain) delete normal.variant;
  return normal;
}

/** Whether operating system and architecture are the target's, and the variant too where the target states one. */
export function matchesPlatform(platform: Platform, target: Platform): boolean {
  const have = normalizePlatform(platform);
  const want = normalizePlatform(target);
  return isSameMachine(have, want) && (!respell(target).variant || have.variant === want.variant);
}

/** Of two normalised platforms, whether operating system and architecture are the same. */
export function isSameMachine(have: Platform, want: Platform): boolean {
  return have.os === want.os && have.architecture === want.architecture;
}

/** The variant that an architecture is where none is stated. */
export function plainVariant(architecture: string): string | undefined {
  return { amd64: 'v1', arm: 'v7', arm64: 'v8' }[architecture];
}

export const platformRecord: Check<Platform> = record(
  { architecture: string, os: string, 'os.version': string, 'os.features': list(string), variant: string },
  ['architecture', 'os'],
);

/** At most 255 characters. */
const pattern = /^(?=.{1,255}$)\s*([\w-]+)(?:\(([\w.-]*)((?:\+[\w.-]+)*)\))?\/([\w.-]+)(?:\/([\w.-]+))?\s*$/;
const platformText: Check<string> = grammar('os/architecture[/variant], such as linux/arm64', pattern);

const aliases: ReadonlyMap<string, readonly [architecture: string, variant?: string]> = new Map([
  ['aarch64', ['arm64']],
  ['armhf', ['arm', 'v7']],
  ['armel', ['arm', 'v6']],
  ['i386', ['386', '']],
  ['i686', ['386', '']],
  ['x86-64', ['amd64']],
  ['x86_64', ['amd64']],
]);

/** The same in Go's spelling, with nothing added and nothing left out. */
function respell(platform: Platform): Platform {
  const { variant: stated, ...others } = platform;
  const os = lower(platform.os);
  const named = lower(platform.architecture);
  const [architecture, variant = lower(stated)] = aliases.get(named) ?? [named];
  const spelled = /^arm(64)?$/.test(architecture)
    ? variant.replace(/^(?=\d)/, 'v').replace(/^(v[89])\.0$/, '$1')
    : variant;
  return {
    ...others,
    architecture,
    os: os === 'macos' ? 'darwin' : os,
    ...(spelled && { variant: spelled }),
  };
}

function lower(text: unknown): string {
  return String(text ?? '').toLowerCase();
}
