// Colours of the drawn parts, read from the stylesheet so that light and dark stay in one place.

const NAMES = {
  ink: "--ink", soft: "--ink-soft", faint: "--line", surface: "--surface", stage: "--stage",
  full: "--full", partial: "--partial", off: "--off", target: "--target",
  left: "--left", leftDeep: "--left-deep", leftPale: "--left-pale",
  right: "--right", rightDeep: "--right-deep", rightPale: "--right-pale", bone: "--bone",
};

const dark = matchMedia("(prefers-color-scheme: dark)");
let current = null;
dark.addEventListener("change", () => {
  current = null;
});

/** The palette of the theme in force. */
export function palette() {
  if (current === null) {
    const style = getComputedStyle(document.documentElement);
    current = { dark: dark.matches };
    for (const [name, variable] of Object.entries(NAMES)) {
      current[name] = style.getPropertyValue(variable).trim();
    }
  }
  return current;
}

/** Mix two `#rrggbb` colours; u = 0 gives the first. */
export function blend(a, b, u, alpha = 1) {
  const x = parseInt(a.slice(1), 16);
  const y = parseInt(b.slice(1), 16);
  const part = (shift) => Math.round(((x >> shift) & 255) * (1 - u) + ((y >> shift) & 255) * u);
  return `rgb(${part(16)} ${part(8)} ${part(0)} / ${alpha})`;
}

/** The colour of a repetition's class. */
export function repColour(colours, name) {
  if (name === "full") return colours.full;
  return name === "partial" ? colours.partial : colours.off;
}
