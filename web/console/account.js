// Whom the page is for: a sign-in that is renewed before it ends, or a token from the fragment. It lives as long as the tab.

const KEY = "gemgem.account";
const RENEW_SHARE = 0.8; // of a token's life
const LEAST_MS = 5000;

export class Account {
  /** `renewed` is called with each new token of the sign-in. */
  constructor(renewed) {
    this.renewed = renewed;
    this.kept = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
    this.asking = null;
    this.timer = 0;
    this.adopt();
    if (this.kept.refresh) this.plan();
  }

  /** Take the token of the fragment, `#token=…`, if there is one, and forget the fragment. */
  adopt() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    if (given) this.useToken(given);
  }

  get open() {
    return Boolean(this.kept.access);
  }

  /** Whether there is a sign-in to end, which a token alone is not. */
  get signedIn() {
    return Boolean(this.kept.refresh);
  }

  /** Why an admin looks; null while that is to be asked, undefined for everybody else. */
  get reason() {
    const roles = claims(this.kept.access)?.roles ?? [];
    if (!roles.includes("admin")) return undefined;
    return this.kept.reason ?? null;
  }

  giveReason(reason) {
    this.keep({ ...this.kept, reason });
  }

  useToken(access) {
    this.drop();
    this.keep({ access });
  }

  /** Sign in; null, or the error to show. */
  async signIn(email, password) {
    const device = { id: `web-${crypto.randomUUID()}`, name: "gemgem console", platform: "web" };
    const answer = await post("/v1/sign-ins", { email, password, device });
    if (answer.error) return answer.error;
    this.take(answer, device.id);
    return null;
  }

  async signOut() {
    const { access } = this.kept;
    this.drop();
    const headers = { Authorization: `Bearer ${access}` };
    await fetch("/v1/sign-ins/current", { method: "DELETE", headers }).catch(() => {});
  }

  drop() {
    clearTimeout(this.timer);
    this.kept = {};
    sessionStorage.removeItem(KEY);
  }

  /** The token to use now; a new one where its own is about to end. */
  async token() {
    if (this.kept.refresh && Date.now() >= this.renewAt()) await this.renew();
    return this.kept.access ?? "";
  }

  /** Exchange the refresh token, once however many ask. */
  renew() {
    this.asking ??= this.exchange().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  async exchange() {
    const { refresh, device } = this.kept;
    const answer = await post("/v1/tokens", { refreshToken: refresh, deviceId: device });
    if (this.kept.refresh !== refresh) return; // signed out meanwhile
    if (!answer.error) {
      this.take(answer, device);
      this.renewed(this.kept.access);
    } else if (answer.error.code === "unauthenticated") {
      this.keep({ access: this.kept.access }); // it ends with its token
    } else {
      this.plan(LEAST_MS);
    }
  }

  take({ accessToken, refreshToken }, device) {
    this.keep({ ...this.kept, access: accessToken, refresh: refreshToken, device });
    this.plan();
  }

  renewAt() {
    const { iat, exp } = claims(this.kept.access) ?? { iat: 0, exp: 0 };
    return (iat + (exp - iat) * RENEW_SHARE) * 1000;
  }

  plan(ms = this.renewAt() - Date.now()) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.renew(), Math.max(ms, LEAST_MS));
  }

  keep(kept) {
    this.kept = kept;
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  }
}

/** What a token says, unverified; null where it is none. */
export function claims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(part));
  } catch {
    return null;
  }
}

/** The answer of a route, or {error}, also when the line is down. */
async function post(path, body) {
  try {
    const headers = { "Content-Type": "application/json", "Accept-Language": document.documentElement.lang };
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    return await answer.json();
  } catch {
    return { error: { code: "busy", message: "" } };
  }
}
