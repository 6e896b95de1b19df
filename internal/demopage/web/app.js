// The page: what is chosen, what the server sends, and where it goes.

import * as api from './api.js';
import { Composer } from './composer.js';
import { List, make } from './message.js';
import { Strip } from './strip.js';

const $ = (id) => document.getElementById(id);
const state = { teams: [], channel: '', close: null };

function fail(err) {
  $('said').textContent = err.message;
  clearTimeout(fail.timer);
  fail.timer = setTimeout(() => { $('said').textContent = ''; }, 8000);
}

// announce has screen readers say something, one line after the other.
function announce(words) {
  const live = $('live');
  live.append(make('p', {}, words));
  while (live.childElementCount > 20) {
    live.firstChild.remove();
  }
}

// keepFocus changes a list of people and leaves the focus in its place there.
function keepFocus(list, otherwise, change) {
  const stops = () => [...list.querySelectorAll('button, select')];
  const at = stops().indexOf(document.activeElement);
  change();
  if (at >= 0) {
    (stops()[at] ?? stops().at(-1) ?? otherwise).focus();
  }
}

class Pane {
  constructor(side) {
    this.side = side;
    this.node = document.querySelector(`.pane[data-side="${side}"]`);
    this.part = (name) => this.node.querySelector(`[data-part="${name}"]`);
    this.list = new List(this.part('messages'), this);
    this.composer = new Composer(this.part('composer'), this, fail);
    this.messages = [];
  }

  channel() { return state.channel; }

  // speakerId is who speaks, as messages of this side name them.
  speakerId() {
    const speaker = this.composer.speaker;
    return this.side === 'teams' ? speaker?.id : speaker?.matrix;
  }

  about(person) {
    if (this.side === 'teams') {
      return person.guest ? ' (guest)' : '';
    }
    return person.signedIn ? ' (signed in)' : ' (through the relay)';
  }

  // image is where the page gets a picture from, null for what it does not show.
  image(address) {
    if (this.side === 'teams') {
      return address.startsWith(`${state.graph}/`) ? `/media/teams${address.slice(state.graph.length)}` : null;
    }
    const found = /^mxc:\/\/([^/?#]+)\/([^/?#]+)$/.exec(address);
    return found ? `/media/matrix/${encodeURIComponent(found[1])}/${encodeURIComponent(found[2])}` : null;
  }

  clear() {
    this.list.clear();
    this.composer.reset();
    this.messages = [];
  }

  update(view) {
    const trouble = this.part('trouble');
    trouble.hidden = !view.error;
    trouble.textContent = view.error ?? '';
    this.messages = view.messages ?? [];
    const fresh = this.list.update(this.messages);
    for (const m of fresh) {
      const words = this.list.shown.get(m.id).node.querySelector('.body, .files')?.textContent ?? '';
      announce(`${this.side === 'teams' ? 'Teams' : 'Matrix'}, ${m.author.name || 'notice'}: ${words}`);
    }
  }

  redraw() { this.list.update(this.messages); }

  async act(what, message, key) {
    if (what === 'reply' || what === 'edit') {
      this.composer.begin(what, message);
      return;
    }
    const body = { side: this.side, channel: state.channel, as: this.composer.speaker?.id ?? '', do: what, id: message.id };
    try {
      await api.change(key ? { ...body, key } : body);
    } catch (err) {
      fail(err);
    }
  }

  setMembers(people, controls = () => null) {
    const sign = JSON.stringify(people);
    if (sign === this.sign) {
      return;
    }
    this.sign = sign;
    this.part('count').textContent = `${people.length} ${people.length === 1 ? 'member' : 'members'}`;
    keepFocus(this.part('members'), this.part('count'), () => this.part('members').replaceChildren(...people.map((p) => make('li', {}, make('span', {}, p.name), p.bridge ? make('span', { className: 'tag' }, 'bridge') : null,
      p.guest ? make('span', { className: 'tag' }, 'guest') : null, controls(p)))));
  }
}

const panes = { teams: new Pane('teams'), matrix: new Pane('matrix') };
const strip = new Strip(fail);

const here = () => state.teams.flatMap((t) => t.channels.map((c) => ({ ...c, team: t.name }))).find((c) => c.id === state.channel);

function showPlaces() {
  const sign = JSON.stringify([state.channel, state.teams.map((t) => [t.name, t.channels.map((c) => [c.id, c.name, c.kind])])]);
  if (sign === showPlaces.sign) {
    return;
  }
  showPlaces.sign = sign;
  const focused = document.activeElement?.dataset?.channel;
  $('places').replaceChildren(...state.teams.map((t) => make('section', {}, make('h2', {}, t.name), make('ul', {}, ...t.channels.map((c) => make('li', {},
    make('button', { type: 'button', 'data-channel': c.id, 'aria-current': c.id === state.channel ? 'true' : undefined }, make('span', {}, c.name),
      c.kind === 'standard' ? null : make('span', { className: 'tag' }, c.kind))))))));
  $('place').replaceChildren(...state.teams.map((t) => make('optgroup', { label: t.name }, ...t.channels.map((c) => new Option(`${t.name} › ${c.name}`, c.id)))));
  $('place').value = state.channel;
  if (focused) {
    $('places').querySelector(`[data-channel="${CSS.escape(focused)}"]`)?.focus();
  }
}

function showTeams(teams) {
  state.teams = teams;
  if (!here()) {
    open(teams[0]?.channels[0]?.id);
    return;
  }
  showPlaces();
  const place = here();
  panes.teams.part('where').textContent = `${place.team} › ${place.name}`;
  panes.teams.part('topic').textContent = `${place.kind[0].toUpperCase()}${place.kind.slice(1)} channel`;
  panes.teams.setMembers(place.members, (p) => (p.bridge ? null : make('button', { type: 'button', 'aria-label': `Remove ${p.name}`, onclick: () => setMember(p.id, false) }, 'Remove')));
  showAdd(place.others ?? []);
  const people = place.members.filter((p) => !p.bridge);
  panes.teams.composer.setPeople(people, (p) => !p.guest);
  panes.matrix.composer.setPeople(people.filter((p) => p.account), (p) => p.signedIn);
  panes.teams.redraw();
  panes.matrix.redraw();
}

function showAdd(others) {
  const sign = JSON.stringify(others);
  if (sign === showAdd.sign) {
    return;
  }
  showAdd.sign = sign;
  const add = panes.teams.part('add');
  const select = make('select', { 'aria-label': 'Somebody to add' }, ...others.map((p) => new Option(p.name, p.id)));
  keepFocus(add, panes.teams.part('count'), () => add.replaceChildren(...(others.length > 0 ? [select, make('button', { type: 'button', onclick: () => setMember(select.value, true) }, 'Add')] : [])));
}

async function setMember(id, present) {
  try {
    await api.member(state.channel, id, present);
  } catch (err) {
    fail(err);
  }
}

function showMatrix(view) {
  const pane = panes.matrix;
  pane.part('where').textContent = view.name;
  pane.part('topic').textContent = [view.space ? `Space ${view.space}, ${view.inSpace} rooms` : '', view.topic].filter(Boolean).join(' · ');
  pane.setMembers(view.members);
  pane.update(view);
}

function showNumbers(n) {
  strip.update(n);
  panes.teams.composer.setUsable(!n.outage);
}

function open(channel) {
  if (!channel || channel === state.channel) {
    return;
  }
  state.close?.();
  state.channel = channel;
  for (const pane of Object.values(panes)) {
    pane.clear();
  }
  showTeams(state.teams);
  state.close = api.follow(channel, {
    places: showTeams, teams: (view) => panes.teams.update(view), matrix: showMatrix, numbers: showNumbers,
  }, () => strip.lost());
}

function showSide(side) {
  document.body.dataset.side = side;
  for (const button of document.querySelectorAll('[data-show]')) {
    button.setAttribute('aria-pressed', String(button.dataset.show === side));
  }
}

$('places').addEventListener('click', (event) => open(event.target.closest('[data-channel]')?.dataset.channel));
$('place').addEventListener('change', (event) => open(event.target.value));
for (const button of document.querySelectorAll('[data-show]')) {
  button.addEventListener('click', () => showSide(button.dataset.show));
}
for (const skip of document.querySelectorAll('[data-skip]')) {
  skip.addEventListener('click', (event) => {
    event.preventDefault();
    showSide(skip.dataset.skip);
    panes[skip.dataset.skip].list.focus();
  });
}
// closePanels closes what lies over the page, once one has turned elsewhere.
function closePanels(to) {
  for (const details of document.querySelectorAll('details.signin[open], details.members[open]')) {
    if (!details.contains(to)) {
      details.open = false;
    }
  }
}
document.addEventListener('click', (event) => closePanels(event.target));
document.addEventListener('focusin', (event) => closePanels(event.target));
document.addEventListener('keydown', (event) => {
  const open = event.key === 'Escape' && event.target.closest?.('details.signin[open], details.members[open]');
  if (open) {
    open.open = false;
    open.querySelector('summary').focus();
  }
});

try {
  const start = await api.start();
  state.graph = start.graph;
  state.teams = start.teams;
  $('homeserver').textContent = start.homeserver;
  $('password').textContent = start.password;
  $('bot').textContent = start.bot;
  $('users').replaceChildren(...start.users.flatMap((u, i) => (i ? [', ', make('code', {}, u)] : [make('code', {}, u)])));
  open(start.teams[0]?.channels[0]?.id);
  document.body.dataset.ready = 'true';
} catch (err) {
  fail(err);
}
