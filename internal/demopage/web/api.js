// What the page asks its own server.

const token = document.querySelector('meta[name="demo-token"]').content;

async function post(path, body, headers = {}) {
  const resp = await fetch(path, { method: 'POST', body, headers: { 'X-Demo-Token': token, ...headers } });
  let answer = {};
  try {
    answer = await resp.json();
  } catch {
    // The status says it.
  }
  if (!resp.ok) {
    throw new Error(answer.error || `The demo answers ${resp.status}.`);
  }
}

const json = (path, what) => post(path, JSON.stringify(what), { 'Content-Type': 'application/json' });

export const start = async () => (await fetch('/api/start')).json();

export function say(fields, file) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    form.set(name, value);
  }
  if (file) {
    form.set('file', file);
  }
  return post('/api/say', form);
}

export const change = (what) => json('/api/change', what);
export const outage = (on) => json('/api/outage', { on });
export const member = (channel, person, present) => json('/api/member', { channel, person, in: present });

// follow opens the stream of a channel. It comes back by itself when it breaks,
// of which lost is told.
export function follow(channel, handlers, lost) {
  const source = new EventSource(`/api/events?channel=${encodeURIComponent(channel)}`);
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  source.addEventListener('error', lost);
  return () => source.close();
}
