// One list of messages, of either side. Lists are brought up to date in place:
// what has not changed keeps its nodes, and with them focus and place.

import { rove } from './keys.js';
import { sanitise } from './sanitise.js';

const emoji = ['👍', '❤️', '😆', '😮', '🙁', '🎉', '👀', '✅'];
const day = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });
const hour = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

export function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) {
      continue;
    }
    if (name in node && name !== 'list') {
      node[name] = value;
    } else {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// grouped puts threads in the order of their newest message.
function grouped(messages) {
  const known = new Set(messages.map((m) => m.id));
  const threads = new Map();
  for (const m of messages) {
    const root = m.thread && known.has(m.thread) ? m.thread : m.id;
    const thread = threads.get(root) ?? { at: 0, messages: [] };
    thread.messages.push(m);
    thread.at = Math.max(thread.at, m.at);
    threads.set(root, thread);
  }
  return [...threads.entries()].sort((a, b) => a[1].at - b[1].at).flatMap(([root, thread]) => thread.messages.map((m) => ({ ...m, reply: m.id !== root })));
}

// List shows messages and lets people act on them. pane says whose side it is.
export class List {
  constructor(node, pane) {
    this.node = node;
    this.pane = pane;
    this.shown = new Map();
    this.current = null;
    this.pinned = true;
    node.addEventListener('scroll', () => { this.pinned = this.atEnd(); });
    node.addEventListener('animationend', (event) => event.target.classList.remove('fresh'));
    new ResizeObserver(() => this.toEnd()).observe(node);
    node.addEventListener('load', () => this.toEnd(), true); // a picture takes its place late
    node.addEventListener('click', (event) => this.clicked(event));
    node.addEventListener('keydown', (event) => this.key(event));
    node.addEventListener('focusin', (event) => this.enter(event.target.closest('.message')));
  }

  clear() {
    this.node.replaceChildren();
    this.shown.clear();
    this.current = null;
    this.filled = false;
    this.pinned = true;
  }

  atEnd() { return this.node.scrollHeight - this.node.scrollTop - this.node.clientHeight < 120; }

  // toEnd follows the newest message, unless somebody reads further up.
  toEnd() {
    if (this.pinned) {
      this.node.scrollTop = this.node.scrollHeight;
    }
  }

  // update shows messages, and returns those that are new.
  update(messages) {
    const fresh = [];
    const next = new Map();
    let before = this.node.firstChild;
    let lastDay = '';
    for (const m of grouped(messages)) {
      const date = m.reply ? lastDay : day.format(m.at);
      const sign = JSON.stringify([m, this.pane.speakerId(), date !== lastDay]);
      let entry = this.shown.get(m.id);
      if (!entry || entry.sign !== sign) {
        const node = this.draw(m, date !== lastDay ? date : '');
        if (entry) {
          if (before === entry.node) {
            before = node;
          }
          this.replace(entry.node, node);
        } else if (this.filled) {
          fresh.push(m);
          node.classList.add('fresh');
        }
        entry = { node, sign };
      }
      lastDay = date;
      next.set(m.id, { ...entry, message: m });
      if (before === entry.node) {
        before = before.nextSibling;
      } else {
        this.node.insertBefore(entry.node, before);
      }
    }
    for (const [id, entry] of this.shown) {
      if (!next.has(id)) {
        this.remove(entry.node);
      }
    }
    this.shown = next;
    this.settle();
    this.toEnd();
    this.filled = this.filled || messages.length > 0;
    return fresh;
  }

  // replace keeps the focus where it was.
  replace(old, node) {
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    old.replaceWith(node);
    if (this.current === old) {
      this.current = node;
    }
    if (focused) {
      (twin(focused, node) ?? node).focus();
    }
  }

  // remove leads on to the message that follows, when the focus was here.
  remove(node) {
    const neighbour = node.nextElementSibling ?? node.previousElementSibling;
    const focused = node.contains(document.activeElement);
    node.remove();
    if (focused) {
      neighbour?.focus();
    }
  }

  // focus turns to a message, or to the one in the tab order.
  focus(id) {
    (this.shown.get(id)?.node ?? this.current)?.focus();
  }

  // settle leaves one message in the tab order: the arrow keys lead to the rest.
  settle() {
    if (!this.current || !this.node.contains(this.current)) {
      this.current = this.node.lastElementChild;
    }
    for (const { node } of this.shown.values()) {
      const on = node === this.current;
      node.tabIndex = on ? 0 : -1;
      for (const inner of node.querySelectorAll('a, summary, .spoiler, button:not(.picker button)')) {
        inner.tabIndex = on ? 0 : -1;
      }
      for (const inner of node.querySelectorAll('pre, table')) { // a stop by themselves where they scroll
        inner.toggleAttribute('tabindex', false);
        if (!on) {
          inner.tabIndex = -1;
        }
      }
    }
  }

  enter(node) {
    if (node && node !== this.current) {
      this.current = node;
      this.settle();
    }
    if (matchMedia('(pointer: coarse)').matches) {
      node?.querySelector('.actions')?.scrollIntoView({ block: 'nearest' }); // which a touch shows, below
    }
  }

  key(event) {
    const node = event.target.closest('.message');
    if (event.key === 'Escape') {
      this.closePickers();
      node?.focus();
      return;
    }
    if (event.target !== node || !node) {
      return;
    }
    const to = { ArrowUp: node.previousElementSibling, ArrowDown: node.nextElementSibling, Home: this.node.firstElementChild, End: this.node.lastElementChild }[event.key];
    if (to) {
      event.preventDefault();
      to.focus();
    }
  }

  clicked(event) {
    const button = event.target.closest('[data-do]');
    const entry = button && this.shown.get(button.closest('.message').dataset.id);
    if (!entry) {
      return;
    }
    if (button.dataset.do === 'picker') {
      this.togglePicker(entry);
      return;
    }
    if (button.closest('.picker')) {
      this.closePickers();
      entry.node.focus();
    }
    this.pane.act(button.dataset.do, entry.message, button.dataset.key);
  }

  togglePicker({ node }) {
    const open = node.querySelector('.picker');
    this.closePickers();
    if (open) {
      return;
    }
    const picker = make('div', { className: 'picker', role: 'group', 'aria-label': 'Reactions' },
      ...emoji.map((key) => make('button', { type: 'button', 'data-do': 'react', 'data-key': key, 'aria-label': `React with ${key}` }, key)));
    rove(picker);
    node.append(picker);
    node.querySelector('[data-do="picker"]').setAttribute('aria-expanded', 'true');
    picker.firstChild.focus();
    picker.scrollIntoView({ block: 'nearest' });
  }

  closePickers() {
    for (const picker of this.node.querySelectorAll('.picker')) {
      picker.parentNode.querySelector('[data-do="picker"]')?.setAttribute('aria-expanded', 'false');
      picker.remove();
    }
  }

  draw(m, date) {
    const classes = ['message', m.reply && 'reply', m.system && 'system', m.deleted && 'gone', m.importance && `is-${m.importance}`].filter(Boolean);
    const node = make('li', { className: classes.join(' '), 'data-id': m.id, tabIndex: -1 });
    if (date) {
      node.append(make('p', { className: 'date' }, date));
    }
    const time = make('time', { dateTime: new Date(m.at).toISOString(), title: new Date(m.at).toLocaleString() }, hour.format(m.at));
    if (m.system) {
      node.append(make('div', { className: 'line' }, this.body(m), time));
      return node;
    }
    node.append(make('div', { className: 'head' },
      make('b', { className: 'who' }, m.author.name || 'Unknown'), m.author.bridge ? make('span', { className: 'tag' }, 'bridge') : null,
      m.importance ? make('span', { className: 'importance' }, m.importance === 'urgent' ? 'Urgent' : 'Important') : null,
      time, m.edited && !m.deleted ? make('span', { className: 'edited' }, 'edited') : null));
    if (m.deleted) {
      node.append(make('p', { className: 'body' }, 'This message was deleted.'));
      return node;
    }
    node.append(...this.parts(m).filter(Boolean), this.actions(m));
    return node;
  }

  parts(m) {
    return [
      m.quote && make('blockquote', { className: 'quoted' }, make('b', {}, m.quote.author ?? ''), ' ', m.quote.text),
      m.subject && make('h3', { className: 'subject' }, m.subject),
      (m.html || m.text) && this.body(m),
      m.files && make('ul', { className: 'files' }, ...m.files.map((f) => make('li', {}, this.file(f)))),
      m.reactions && make('div', { className: 'reactions' }, ...m.reactions.map((r) => this.chip(r))),
    ];
  }

  body(m) {
    const body = make('div', { className: 'body' });
    if (m.html) {
      body.append(sanitise(m.html, (address) => this.pane.image(address)));
    } else {
      body.classList.add('plain');
      body.append(m.text ?? '');
    }
    return body;
  }

  file(f) {
    const size = f.size ? ` ${inWords(f.size)}` : '';
    if (f.kind === 'image' && f.url) {
      return make('a', { href: f.url, target: '_blank', className: 'picture' }, make('img', { src: f.url, alt: f.name, loading: 'lazy' }), make('span', {}, f.name + size));
    }
    const kind = f.kind === 'file' ? 'File' : f.kind;
    const label = [make('span', { className: 'tag' }, kind), ' ', make('span', { className: 'name' }, f.name), size];
    return f.url ? make('a', { href: f.url, download: f.name }, ...label) : make('span', {}, ...label);
  }

  chip(r) {
    const mine = r.people.some((p) => p.id === this.pane.speakerId());
    const names = r.people.map((p) => p.name).join(', ');
    const picture = r.label.startsWith('mxc://');
    const label = picture ? make('img', { className: 'emoticon', alt: 'emoji', src: this.pane.image(r.label) }) : r.label;
    return make('button', { type: 'button', className: 'chip', title: names, 'aria-pressed': String(mine), 'aria-label': `${picture ? 'An emoji' : r.label} ${r.people.length}, of ${names}`, 'data-do': mine ? 'unreact' : 'react', 'data-key': r.key },
      label, ` ${r.people.length}`);
  }

  actions(m) {
    const own = m.author.id === this.pane.speakerId();
    const button = (what, label, more = {}) => make('button', { type: 'button', 'data-do': what, 'data-key': '', ...more }, label);
    return make('div', { className: 'actions', role: 'group', 'aria-label': `Message of ${m.author.name || 'somebody'}` }, button('reply', 'Reply'), button('picker', 'React', { 'aria-expanded': 'false' }), own ? button('edit', 'Edit') : null, own ? button('delete', 'Delete') : null);
  }
}

// twin is what stands for an element in the new form of its message.
function twin(old, node) {
  const alike = [...node.querySelectorAll('[data-do]')].filter((e) => e.dataset.key === old.dataset.key && e.className === old.className);
  return alike.find((e) => e.dataset.do === old.dataset.do) ?? (old.classList.contains('chip') ? alike[0] : undefined);
}

function inWords(size) {
  const units = ['B', 'KB', 'MB', 'GB'];
  let i = 0;
  for (; size >= 1000 && i < units.length - 1; i++) {
    size /= 1000;
  }
  return `${size < 10 && i > 0 ? size.toFixed(1) : Math.round(size)} ${units[i]}`;
}
