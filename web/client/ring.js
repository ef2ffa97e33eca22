// What a client has sent and may have to send again: numbered messages, kept until stored.

const CONTROL_BYTES = 256; // what the server counts for a message that is no `frames`

/** What was sent and may have to be sent again: kept from `start` on, sent below `cursor`. */
export class Ring {
  messages = [];
  start = 0;
  cursor = 0;
  buffered = -1;
  stored = -1;
  bytes = 0; // of all messages ever

  get end() {
    return this.start + this.messages.length;
  }

  append(event, body, answer = null) {
    const message = { seq: this.end, event, body, begin: this.bytes, answer, settled: answer === null };
    this.bytes += body.byteLength ?? CONTROL_BYTES;
    this.messages.push(message);
    return message;
  }

  /** Bytes under way to `buffered` once the next message is sent. */
  get bytesWithNext() {
    return this.beginOf(this.cursor + 1) - this.beginOf(this.buffered + 1);
  }

  beginOf(seq) {
    return this.messages[seq - this.start]?.begin ?? this.bytes;
  }

  next() {
    return this.cursor < this.end ? this.messages[this.cursor++ - this.start] : null;
  }

  /** Send again from `expected`; false if that is not kept any more. */
  rewind(expected) {
    if (expected < this.start || expected > this.end) return false;
    this.cursor = Math.min(this.cursor, expected);
    return true;
  }

  /** The same when the server has lost what it called buffered; never what it called stored. */
  forfeit(expected) {
    if (expected <= this.stored || !this.rewind(expected)) return false;
    this.buffered = Math.min(this.buffered, expected - 1);
    return true;
  }

  /** Go on where the server is; false if it wants what it called stored, or what never was. */
  resume(expected, stored) {
    if (expected <= this.stored || expected > this.end) return false;
    this.buffered = expected - 1;
    this.acknowledge(expected - 1, stored);
    this.cursor = Math.max(expected, this.start);
    return true;
  }

  acknowledge(buffered, stored) {
    this.buffered = Math.max(this.buffered, Math.min(buffered, this.end - 1));
    this.stored = Math.max(this.stored, Math.min(stored, this.buffered));
    // One that waits for its own answer stays: asking again is how it gets one.
    let gone = 0;
    while (this.start + gone <= this.stored && this.messages[gone]?.settled) gone += 1;
    this.messages.splice(0, gone);
    this.start += gone;
    this.cursor = Math.max(this.cursor, this.start);
  }

  unanswered() {
    return this.messages.filter((message) => message.seq < this.cursor && !message.settled);
  }
}
