// The watch token: it arrives in the fragment, leaves the address bar at once and lives as long as the tab.

const KEY = "gemgem.watch_token";

/** Take the token from `#token=…` (and forget the fragment), else the one this tab already has. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (given) keepToken(given);
  return given ?? sessionStorage.getItem(KEY);
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function dropToken() {
  sessionStorage.removeItem(KEY);
}
