// What the bridge says of itself, and the switch of the outage.

import * as api from './api.js';

const $ = (id) => document.getElementById(id);
const span = 60; // seconds that the trend shows

// say changes what is read out, once.
function say(node, words) {
  if (node.textContent !== words) {
    node.textContent = words;
  }
}

export class Strip {
  constructor(fail) {
    this.history = [];
    $('outage').addEventListener('click', async () => {
      try {
        await api.outage($('outage').getAttribute('aria-checked') !== 'true');
      } catch (err) {
        fail(err);
      }
    });
    setInterval(() => this.draw(), 1000);
  }

  update(n) {
    $('outage').setAttribute('aria-checked', String(n.outage));
    document.body.classList.toggle('is-down', n.outage);
    let state = ['unknown', 'Bridge does not answer'];
    if (n.known) {
      state = n.graphUp ? ['up', 'Teams reachable'] : ['down', 'Teams unreachable'];
    }
    if (n.outage && n.graphUp) {
      state = ['down', 'Teams switched off'];
    }
    $('graph-state').dataset.state = state[0];
    say($('graph-state'), state[1]);
    for (const name of ['waiting', 'sent', 'inbox', 'oldest']) {
      $(name).textContent = n[name];
    }
    $('oldest-figure').hidden = n.waiting === 0;
    $('strip').dataset.waiting = n.waiting;
    this.history.push({ at: Date.now(), waiting: n.waiting });
    this.waiting = n.waiting;
    this.draw();
  }

  lost() {
    $('graph-state').dataset.state = 'unknown';
    say($('graph-state'), 'Demo does not answer');
  }

  // draw shows the last minute. A figure holds until the next one.
  draw() {
    const now = Date.now();
    const begin = now - span * 1000;
    while (this.history.length > 1 && this.history[1].at < begin) {
      this.history.shift();
    }
    const top = Math.max(4, ...this.history.map((h) => h.waiting));
    const points = [];
    let level = null;
    for (const h of [...this.history, { at: now, waiting: this.waiting ?? 0 }]) {
      const x = (Math.max(0, h.at - begin) / (span * 1000)) * 120;
      if (level !== null) {
        points.push([x, level]);
      }
      level = 19 - (h.waiting / top) * 18;
      points.push([x, level]);
    }
    $('trend').firstElementChild.setAttribute('points', points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' '));
  }
}
