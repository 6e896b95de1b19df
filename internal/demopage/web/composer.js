// The form below each list.

import * as api from './api.js';

const marks = { bold: '**', italic: '*', code: '`' };

export class Composer {
  // fail is told why something did not work.
  constructor(form, pane, fail) {
    this.form = form;
    this.pane = pane;
    this.fail = fail;
    this.part = (name) => form.querySelector(`[data-part="${name}"]`);
    this.text = this.part('text');
    this.target = null; // what is answered or edited
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
    this.part('text').disabled = !usable;
    this.form.querySelector('.send').disabled = !usable;
  }

  clicked(button) {
    if (button?.dataset.format) {
      this.format(button.dataset.format);
    } else if (button?.dataset.do === 'cancel') {
      this.reset();
    } else if (button?.dataset.do === 'drop') {
      this.part('file').value = '';
      this.showFile();
    }
  }

  key(event) {
    this.shift = event.shiftKey;
    if (event.key === 'Escape' && this.target) {
      this.reset();
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
    this.target = { what, id: message.id };
    const whom = message.author.name || 'a message';
    this.part('about-text').textContent = what === 'edit' ? 'Editing your message' : `Replying to ${whom}`;
    this.part('about').hidden = false;
    this.form.classList.toggle('is-editing', what === 'edit');
    this.form.classList.add('has-target');
    if (what === 'edit') {
      this.text.value = message.source ?? message.text ?? '';
    }
    this.text.focus();
  }

  reset() {
    this.target = null;
    this.text.value = '';
    this.part('file').value = '';
    const subject = this.part('subject');
    if (subject) {
      subject.value = '';
      this.part('importance').value = 'normal';
    }
    this.part('about').hidden = true;
    this.form.classList.remove('is-editing', 'has-target');
    this.showFile();
  }

  showFile() {
    const file = this.part('file').files[0];
    this.part('file-name').textContent = file ? file.name : 'Attach file';
    this.part('drop').hidden = !file;
  }

  async send() {
    const file = this.part('file').files[0];
    const text = this.text.value.trim();
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
      this.reset();
    } catch (err) {
      this.fail(err);
    } finally {
      this.busy = false;
      this.form.removeAttribute('aria-busy');
    }
  }
}
