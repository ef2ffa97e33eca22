// Before the live list: sign in, or bring a token; of an admin, why they look.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { words } from "../text.js";

export function Entrance({ refusal, account, open }) {
  const text = words();
  if (account.open && account.reason === null) return html`<${Reason} account=${account} open=${open} />`;
  return html`
    <section class="notice">
      <h2>${refusal ? text.refused_title : text.sign_in_title}</h2>
      <${SignIn} refusal=${refusal} account=${account} open=${open} />
      <details>
        <summary>${text.token_title}</summary>
        <p>${text.token_text}</p>
        <pre><code>gemgem token --email therapist@example.com</code></pre>
        <${Token} account=${account} open=${open} />
      </details>
    </section>
  `;
}

function SignIn({ refusal, account, open }) {
  const text = words();
  const [waiting, setWaiting] = useState(false);
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const { email, password } = event.target.elements;
    setWaiting(true);
    const failed = await account.signIn(email.value.trim(), password.value);
    setWaiting(false);
    setError(failed);
    if (!failed) open();
  };
  const why = error ?? refusal;
  return html`
    ${why ? html`<p class="why" role="alert">${why.message || text.no_answer}</p>` : null}
    <form class="stacked" onSubmit=${submit}>
      <label for="email">${text.email}</label>
      <input id="email" name="email" type="email" autocomplete="username" required />
      <label for="password">${text.password}</label>
      <input id="password" name="password" type="password" autocomplete="current-password" required />
      <button type="submit" disabled=${waiting}>${waiting ? text.signing_in : text.sign_in}</button>
    </form>
  `;
}

function Token({ account, open }) {
  const text = words();
  const submit = (event) => {
    event.preventDefault();
    account.useToken(event.target.elements.token.value.trim());
    open();
  };
  return html`
    <form onSubmit=${submit}>
      <label for="token">${text.token_label}</label>
      <input id="token" name="token" autocomplete="off" spellcheck="false" required />
      <button type="submit">${text.token_go}</button>
    </form>
  `;
}

function Reason({ account, open }) {
  const text = words();
  const submit = (event) => {
    event.preventDefault();
    account.giveReason(event.target.elements.reason.value.trim());
    open();
  };
  return html`
    <section class="notice">
      <h2>${text.reason_title}</h2>
      <p>${text.reason_text}</p>
      <form class="stacked" onSubmit=${submit}>
        <label for="reason">${text.reason_label}</label>
        <input id="reason" name="reason" minlength="3" maxlength="200" required />
        <button type="submit">${text.reason_go}</button>
      </form>
    </section>
  `;
}
