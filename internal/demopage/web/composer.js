// The form below each list.

import * as api from './api.js';
import { rove } from './keys.js';

const marks = { bold: '**', italic: '*', code: '`' };

export class Composer {
  // fail is told why something did not work.
  constructor(form, pane, fail) {
    this.form = form;
    this.pane = pane;
    this.fail = fail;
    this.part = (name) => form.querySelector(`[data-part="${name}"]`);
    this.text = this.part('text');
    this.placeholder = this.text.placeholder;
    this.target = null; // what is answered or edited
    this.draft = ''; // what was being written when an edit began
    rove(form.querySelector('[role="toolbar"]'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.send();
    });
    form.addEventListener('click', (event) => this.clicked(event.target.closest('button')));
    this.text.addEventListener('keydown', (event) => this.key(event));
    this.text.addEventListener('beforeinput', (event) => this.before(event));
    this.part('file').addEventListener('change', () => this.showFile());
    this.part('as').addEventListener('change', () => pane.redraw());
  }

  get speaker() {
    return this.people?.find((p) => p.id === this.part('as').value);
  }

  // setPeople fills the choice of who speaks, and keeps it where it can.
  setPeople(people, preferred) {
    const sign = JSON.stringify(people);
    if (sign === this.sign) {
      return;
    }
    this.sign = sign;
    this.people = people;
    const select = this.part('as');
    const before = select.value;
    select.replaceChildren(...people.map((p) => new Option(p.name + this.pane.about(p), p.id)));
    const wanted = people.find((p) => p.id === before) ?? people.find(preferred) ?? people[0];
    select.value = wanted?.id ?? '';
  }

  setUsable(usable) {
    this.text.disabled = !usable;
    this.text.placeholder = usable ? this.placeholder : 'Nobody can write here during the outage';
    this.form.querySelector('.send').disabled = !usable;
  }

  clicked(button) {
    if (button?.dataset.format) {
      this.format(button.dataset.format);
    } else if (button?.dataset.do === 'cancel') {
      this.leave();
    } else if (button?.dataset.do === 'drop') {
      this.part('file').value = '';
      this.showFile();
      this.part('file').focus();
    }
  }

  key(event) {
    this.shift = event.shiftKey;
    if (event.key === 'Escape' && this.target) {
      this.leave();
    } else if ((event.ctrlKey || event.metaKey) && (event.key === 'b' || event.key === 'i')) {
      event.preventDefault();
      this.format(event.key === 'b' ? 'bold' : 'italic');
    }
  }

  // before sends instead of beginning a line, except with Shift. Phones tell of
  // a new line only here, not as a key.
  before(event) {
    if (event.inputType === 'insertLineBreak' && !this.shift && !event.isComposing) {
      event.preventDefault();
      this.send();
    }
  }

  // format puts marks around the selection, or in front of its lines.
  format(kind) {
    const { selectionStart: from, selectionEnd: to, value } = this.text;
    const chosen = value.slice(from, to);
    let made;
    if (kind === 'link') {
      made = `[${chosen || 'text'}](https://)`;
    } else if (kind === 'list' || kind === 'quote') {
      const mark = kind === 'list' ? '- ' : '> ';
      const lead = from > 0 && value[from - 1] !== '\n' ? '\n' : '';
      made = lead + chosen.split('\n').map((line) => mark + line).join('\n');
    } else if (kind === 'code' && chosen.includes('\n')) {
      made = `\`\`\`\n${chosen}\n\`\`\``;
    } else {
      made = marks[kind] + chosen + marks[kind];
    }
    this.text.setRangeText(made, from, to, 'end');
    this.text.focus();
    if (!chosen && marks[kind]) {
      this.text.selectionStart = this.text.selectionEnd = from + marks[kind].length;
    }
  }

  // begin turns to a message: to answer it, or to edit it.
  begin(what, message) {
    this.turnAway();
    this.target = { what, id: message.id };
    const whom = message.author.name || 'a message';
    this.part('about-text').textContent = what === 'edit' ? 'Editing your message' : `Replying to ${whom}`;
    this.part('about').hidden = false;
    this.form.classList.toggle('is-editing', what === 'edit');
    this.form.classList.add('has-target');
    if (what === 'edit') {
      this.draft = this.text.value;
      this.text.value = message.source ?? message.text ?? '';
    }
    this.text.focus();
  }

  // turnAway ends an answer or an edit. What else was being written stays.
  turnAway() {
    if (this.target?.what === 'edit') {
      this.text.value = this.draft;
    }
    this.draft = '';
    this.target = null;
    this.part('about').hidden = true;
    this.form.classList.remove('is-editing', 'has-target');
  }

  // leave turns back to the message that was answered or edited.
  leave() {
    const { id } = this.target;
    this.turnAway();
    this.pane.list.focus(id);
  }

  reset() {
    this.turnAway();
    this.text.value = '';
    this.part('file').value = '';
    const subject = this.part('subject');
    if (subject) {
      subject.value = '';
      this.part('importance').value = 'normal';
    }
    this.showFile();
  }

  showFile() {
    const file = this.part('file').files[0];
    this.part('file-name').textContent = file ? file.name : 'Attach file';
    this.part('drop').hidden = !file;
  }

  // sent makes room for the next message, which may have been begun meanwhile.
  sent(written) {
    const { draft } = this;
    const begun = this.text.value.startsWith(written) ? this.text.value.slice(written.length) : '';
    this.reset();
    this.text.value = draft + begun;
  }

  async send() {
    const file = this.part('file').files[0];
    const written = this.text.value;
    const text = written.trim();
    if (this.busy || (!text && !file)) {
      return;
    }
    this.busy = true;
    this.form.setAttribute('aria-busy', 'true');
    try {
      const who = { side: this.pane.side, channel: this.pane.channel(), as: this.part('as').value };
      if (this.target?.what === 'edit') {
        await api.change({ ...who, do: 'edit', id: this.target.id, text });
      } else {
        await api.say({
          ...who, text, replyTo: this.target?.id ?? '',
          subject: this.part('subject')?.value ?? '', importance: this.part('importance')?.value ?? '',
        }, file);
      }
      this.sent(written);
    } catch (err) {
      this.fail(err);
    } finally {
      this.busy = false;
      this.form.removeAttribute('aria-busy');
    }
  }
}
