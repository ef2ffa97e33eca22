// Reads frame messages in hex, one a line, and prints what the page makes of each, as JSON.
import { readFileSync } from "node:fs";
import { decodeFrames } from "../../web/console/frames.js";

for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const buffer = Buffer.from(line, "hex");
  const bytes = new ArrayBuffer(buffer.length);
  new Uint8Array(bytes).set(buffer);
  let out;
  try {
    const { space, records } = decodeFrames(bytes);
    out = { space, records: records.map((record) => ({ ...record, points: [...record.points] })) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    out = { refused: error.message };
  }
  console.log(JSON.stringify(out));
}
