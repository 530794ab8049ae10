/** The framing of gzip (RFC 1952) around DEFLATE, in portable code: any number of members, each checked to its last byte. */
import { crc32 } from './crc32.ts';
import { letEventsIn } from './event-loop.ts';
import type { GzipFault } from './gunzip.ts';
import { Inflater, inflateInputBytes } from './inflate.ts';

/** As `gunzip`, which adds the limits. Holds about 400 KiB, whatever the input says, and lets events in between pieces of work. */
export async function* gunzipPortably(
  chunks: AsyncIterable<Uint8Array>,
  fault: GzipFault,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const members = readMembers(fault);
  members.next();
  let work = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += inflateInputBytes) {
      const piece = chunk.subarray(at, at + inflateInputBytes);
      work += piece.length;
      for (let step = members.next(piece); step.value !== undefined; step = members.next()) {
        work += step.value.length;
        yield step.value;
      }
      if (work < turnBytes) continue;
      work = 0;
      await letEventsIn();
      signal?.throwIfAborted();
    }
  }
  members.next();
}

/** Bytes in and out between two turns of the event loop: some ten milliseconds. */
const turnBytes = 1024 * 1024;

/** How nearly every header begins: with no field to follow. */
const plainHeader = [0x1f, 0x8b, 8, 0];

type Input = Uint8Array | undefined;

/** Gives output; asks for input by giving `undefined`, and is told the end of input by `undefined` in turn. */
function* readMembers(fault: GzipFault): Generator<Uint8Array | undefined, void, Input> {
  const inflater = new Inflater();
  let input = new Uint8Array() as Uint8Array;
  let at = 0;
  /** Bytes of input before those in `input`. */
  let before = 0;

  /** Whether there is a byte at `at`, for which it asks as long as it must. */
  function* available(): Generator<undefined, boolean, Input> {
    while (at === input.length) {
      const next = yield undefined;
      if (next === undefined) return false;
      before += input.length;
      input = next;
      at = 0;
    }
    return true;
  }

  function* octet(where: string): Generator<undefined, number, Input> {
    if (at === input.length && !(yield* available())) throw fault(`ends inside ${where}`, before + at);
    return input[at++]!;
  }

  function* number(bytes: number, where: string): Generator<undefined, number, Input> {
    let value = 0;
    for (let byte = 0; byte < bytes; byte++) value += (yield* octet(where)) * 256 ** byte;
    return value;
  }

  /** Section 2.3. What the header says of name and time is of no use for a layer: it is skipped, but checked. */
  function* header(first: boolean): Generator<undefined, void, Input> {
    const where = 'a header';
    const start = before + at;
    if (input.length - at >= 10 && plainHeader.every((byte, index) => input[at + index] === byte)) {
      at += 10;
      return;
    }
    let crc = 0;
    const one = new Uint8Array(1);
    function* next(): Generator<undefined, number, Input> {
      one[0] = yield* octet(where);
      crc = crc32(one, crc);
      return one[0]!;
    }
    if ((yield* next()) !== 0x1f || (yield* next()) !== 0x8b) {
      throw fault(first ? 'does not begin as gzip does (1f 8b)' : 'is followed by something else than gzip', start);
    }
    if ((yield* next()) !== 8) throw fault('names a compression method other than DEFLATE', start + 2);
    const flags = yield* next();
    if (flags & 0xe0) throw fault('has reserved flags set', start + 3);
    for (let skipped = 0; skipped < 6; skipped++) yield* next();
    if (flags & 4) {
      const length = (yield* next()) + (yield* next()) * 256;
      for (let skipped = 0; skipped < length; skipped++) yield* next();
    }
    // The file's name and the comment, each up to a NUL.
    for (const flag of [8, 16]) if (flags & flag) while ((yield* next()) !== 0);
    if (flags & 2) {
      const expected = crc & 0xffff;
      if ((yield* number(2, where)) !== expected) throw fault('has a header that fails its check', start);
    }
  }

  for (let first = true; yield* available(); first = false) {
    yield* header(first);
    inflater.reset();
    let crc = 0;
    let size = 0;
    let pieceBytes = 512;
    while (!inflater.ended) {
      if (!(yield* available())) throw fault('ends inside its compressed data', before + at);
      const piece = input.subarray(at, at + pieceBytes);
      inflater.push(piece);
      // The inflater copies its input: a small member should not cost the copy of a large piece.
      pieceBytes = Math.min(pieceBytes * 4, inflateInputBytes);
      for (;;) {
        const output = inflate(inflater, (reason) => fault(`is corrupt, with ${reason},`, before + at));
        if (output === undefined) break;
        crc = crc32(output, crc);
        size += output.length;
        yield output;
      }
      at += piece.length - (inflater.ended ? inflater.rest() : 0);
    }
    const trailer = before + at;
    if ((yield* number(4, 'a trailer')) !== crc) throw fault('fails its CRC-32', trailer);
    if ((yield* number(4, 'a trailer')) !== size % 2 ** 32) throw fault('fails its length check', trailer + 4);
  }
  if (before + at === 0) throw fault('is empty', 0);
}

function inflate(inflater: Inflater, fault: (reason: string) => Error): Uint8Array | undefined {
  try {
    return inflater.read();
  } catch (error) {
    throw fault((error as Error).message);
  }
}
