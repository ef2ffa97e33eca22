// The binary frame message: 24 bytes of header, then one record of 140 bytes or more per hand.

const MAGIC = 0x4647;
const HEADER = 24;
const LANDMARKS_AT = 14;
const RECORD = 140;
const UNITS = [1e-5, 1 / 16384]; // world: metres; image: parts of the width and the height

export const SIDES = ["left", "right"];

/** What a record says beside its landmarks. */
export const FLAG = { ABSENT: 1, MIRRORED: 2, SMOOTHED: 4 };

/**
 * Decode a message. Points are [x, y, z] × 21, x to the right and y down as the camera saw the
 * child; a mirrored picture is turned back. Throws RangeError on anything that is not a message.
 */
export function decodeFrames(bytes) {
  const view = viewOf(bytes);
  if (view.byteLength < HEADER) throw new RangeError("frame message: shorter than its header");
  const space = view.getUint8(3);
  const count = view.getUint16(4, true);
  const size = view.getUint16(6, true);
  if (view.getUint16(0, true) !== MAGIC) throw new RangeError("frame message: wrong magic");
  if (view.getUint8(2) !== 1) throw new RangeError("frame message: unknown version");
  if (space >= UNITS.length) throw new RangeError("frame message: unknown space");
  if (count < 1 || count > 64) throw new RangeError("frame message: wrong number of records");
  if (size < RECORD || view.byteLength !== HEADER + count * size) {
    throw new RangeError("frame message: wrong length");
  }
  const width = view.getUint16(20, true);
  const height = view.getUint16(22, true);
  const aspect = space === 1 && height > 0 ? width / height : 1;
  const t0 = Number(view.getBigUint64(8, true));
  const seq0 = view.getUint32(16, true);
  const records = [];
  for (let i = 0; i < count; i += 1) {
    const at = HEADER + i * size;
    const flags = view.getUint8(at + 7);
    records.push({
      t_us: t0 + view.getUint32(at, true),
      seq: seq0 + view.getUint16(at + 4, true),
      side: SIDES[view.getUint8(at + 6)] ?? null,
      absent: (flags & FLAG.ABSENT) !== 0,
      confidence: view.getUint8(at + 8) / 255,
      points: points(view, at + LANDMARKS_AT, UNITS[space], aspect, flags & FLAG.MIRRORED),
    });
  }
  return { space: space === 0 ? "world" : "image", records };
}

function viewOf(bytes) {
  if (bytes instanceof ArrayBuffer) return new DataView(bytes);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function points(view, at, unit, aspect, mirrored) {
  const out = new Float32Array(63);
  const across = unit * aspect;
  const x = mirrored ? -across : across;
  for (let k = 0; k < 63; k += 3) {
    out[k] = view.getInt16(at + 2 * k, true) * x;
    out[k + 1] = view.getInt16(at + 2 * k + 2, true) * unit;
    out[k + 2] = view.getInt16(at + 2 * k + 4, true) * across;
  }
  return out;
}
