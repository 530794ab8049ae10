/** Which of several platforms suits a machine best, by the rules of containerd's platforms module. */
import { isSameMachine, normalizePlatform, type Platform, plainVariant } from '../oci/platform.ts';

/**
 * The one of the platforms, or of the descriptors by their `platform`, that suits the target machine best, or
 * `undefined` where none can run there: the closest variant that is no newer than the target's (arm v7 takes v7, v6, v5;
 * amd64 v3 takes v3, v2, v1), then the newest Windows that runs there, then the first. The architecture is never
 * changed, as a 386 image for amd64 would.
 */
export function bestMatch<T extends Platform | { platform?: Platform }>(
  items: Iterable<T>,
  target: Platform,
): T | undefined {
  const want = normalizePlatform(target);
  let best: T | undefined;
  let bestRank = -1;
  for (const item of items) {
    const own = 'os' in item ? (item as Platform) : (item as { platform?: Platform }).platform;
    const rank = own ? rankOf(normalizePlatform(own), want) : -1;
    if (rank > bestRank) [best, bestRank] = [item, rank];
  }
  return best;
}

/** How well one normalised platform suits another; the higher the better, -1 where it cannot run. */
function rankOf(have: Platform, want: Platform): number {
  // containerd never asks for win32k: Windows hosts of old did not state it.
  const lacks = (feature: string): boolean => feature !== 'win32k' && !want['os.features']?.includes(feature);
  if (!isSameMachine(have, want) || have['os.features']?.some(lacks)) return -1;
  let rank = 0;
  const [version, hostVersion] = [have, want].map((each) => /^(\d+\.\d+)\.(\d+)/.exec(each['os.version'] ?? ''));
  if (want.os === 'windows' && version && hostVersion) {
    const [build, hostBuild] = [+version[2]!, +hostVersion[2]!];
    // Up to Server 2019 builds must be the same; from 2022 (20348) on, hosts run what is no newer than themselves.
    if (version[1] !== hostVersion[1] || build > hostBuild || build < Math.min(hostBuild, 20348)) return -1;
    rank = build / 1e6;
  }
  if (have.variant === want.variant) return 1e6 + rank;
  const [level, hostLevel] = [levelOf(have), levelOf(want)];
  // A variant that has no order here: the plain architecture runs everywhere.
  if (!level || !hostLevel) return have.variant ? -1 : rank;
  // ARMv9.n has of ARMv8 all up to v8.(n+5).
  return level > hostLevel || (level < 900 && hostLevel - level < 95 && hostLevel >= 900) ? -1 : level + rank;
}

/** A variant as a number: 302 for v3.2. */
function levelOf({ architecture, variant }: Platform): number | undefined {
  const plain = plainVariant(architecture);
  const parts = plain && /^v(\d+)(?:\.(\d+))?$/.exec(variant ?? plain);
  return parts ? +parts[1]! * 100 + +(parts[2] ?? 0) : undefined;
}
