// From landmarks to the picture plane: where the camera looks, how large, how deep.

const PALM = [0, 5, 9, 13, 17];
const LENS = 0.16; // how much nearer parts grow, per palm length of depth

/** Follows one hand so that the palm rests in the picture while the fingers move. */
export class Camera {
  constructor() {
    this.clear();
  }

  clear() {
    this.size = null;
    this.centre = null;
    this.at = null;
  }

  /**
   * Project 21 points into the box {left, top, width, height} of pixels at `now` (ms):
   * [{x, y, depth, k}], where depth > 0 is near and k is a palm length there in pixels.
   */
  project(points, box, now) {
    const palm = [0, 1, 2].map((axis) => mean(PALM.map((k) => points[3 * k + axis])));
    const size = distance(points, 0, 9) || 1e-6;
    const middle = centreOf(points);
    const towards = [0, 1].map((axis) => middle[axis] - palm[axis]);
    const dt = this.at === null ? Infinity : Math.min(0.1, (now - this.at) / 1000);
    this.at = now;
    this.size = ease(this.size, size, dt / 1.0);
    this.centre = this.centre
      ? towards.map((value, axis) => ease(this.centre[axis], value, dt / 2.5))
      : towards;
    const scale = Math.min(box.height / 3.45, box.width / 2.9) / this.size;
    const at = { x: palm[0] + this.centre[0], y: palm[1] + this.centre[1] };
    const out = [];
    for (let k = 0; k < 21; k += 1) {
      const depth = -(points[3 * k + 2] - palm[2]) / this.size;
      const lens = 1 + LENS * depth;
      out.push({
        x: box.left + box.width / 2 + (points[3 * k] - at.x) * scale * lens,
        y: box.top + box.height / 2 + (points[3 * k + 1] - at.y) * scale * lens,
        depth,
        k: lens * scale * this.size,
      });
    }
    return out;
  }
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function distance(points, a, b) {
  return Math.hypot(...[0, 1, 2].map((axis) => points[3 * a + axis] - points[3 * b + axis]));
}

function centreOf(points) {
  return [0, 1].map((axis) => {
    let low = Infinity;
    let high = -Infinity;
    for (let k = axis; k < 63; k += 3) {
      low = Math.min(low, points[k]);
      high = Math.max(high, points[k]);
    }
    return (low + high) / 2;
  });
}

function ease(from, to, share) {
  return from === null ? to : from + (to - from) * Math.min(1, share);
}
