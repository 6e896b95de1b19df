// What people wrote is parsed apart from the page, where nothing runs or loads,
// and built anew from this list. Nothing else gets through: no attribute, no
// style, no address but these.

const kept = new Set(['P', 'DIV', 'BR', 'HR', 'STRONG', 'B', 'EM', 'I', 'U', 'S', 'DEL', 'CODE', 'PRE', 'BLOCKQUOTE', 'UL', 'OL', 'LI',
  'H1', 'H2', 'H3', 'H4', 'H5', 'H6', 'TABLE', 'THEAD', 'TBODY', 'TR', 'TD', 'TH', 'SPAN', 'DETAILS', 'SUMMARY', 'SUP', 'SUB', 'CAPTION']);
const dropped = new Set(['SCRIPT', 'STYLE', 'TITLE', 'TEMPLATE', 'IFRAME', 'OBJECT', 'EMBED', 'NOSCRIPT', 'TEXTAREA', 'SELECT', 'SVG', 'MATH', 'MX-REPLY', 'ATTACHMENT']);
const protocols = new Set(['http:', 'https:', 'mailto:', 'matrix:']);
const deepest = 60;

// sanitise returns the nodes of some HTML. image maps the address of a picture
// to one of the page's own, or to null.
export function sanitise(html, image) {
  const out = document.createDocumentFragment();
  const parsed = new DOMParser().parseFromString(html, 'text/html');
  copy(parsed.body, out, image, 0);
  return out;
}

function copy(from, into, image, depth) {
  if (depth > deepest) {
    into.append(from.textContent);
    return;
  }
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) {
      into.append(node.data);
    } else if (node.nodeType === Node.ELEMENT_NODE) {
      element(node, into, image, depth);
    }
  }
}

function element(node, into, image, depth) {
  const tag = node.tagName.toUpperCase();
  if (dropped.has(tag)) {
    return;
  }
  if (tag === 'EMOJI' || tag === 'CUSTOMEMOJI') {
    into.append(node.getAttribute('alt') || '');
    return;
  }
  if (tag === 'IMG') {
    picture(node, into, image);
    return;
  }
  const made = replacement(node, tag);
  copy(node, made ?? into, image, depth + 1);
  if (made) {
    into.append(made);
  }
}

// replacement is the element that stands for another, null where only what is
// in it stays.
function replacement(node, tag) {
  if (tag === 'A') {
    return link(node);
  }
  if (tag === 'AT') {
    return styled('span', 'mention');
  }
  if (tag === 'CODEBLOCK') {
    return code();
  }
  if (!kept.has(tag)) {
    return null;
  }
  const made = tag === 'PRE' ? code() : document.createElement(tag);
  if (tag === 'SPAN' && node.hasAttribute('data-mx-spoiler')) {
    made.className = 'spoiler';
    made.tabIndex = 0;
  }
  for (const name of ['colspan', 'rowspan', 'start']) {
    const value = node.getAttribute(name);
    if (value && /^\d{1,3}$/.test(value) && (tag === 'TD' || tag === 'TH' || tag === 'OL')) {
      made.setAttribute(name, value);
    }
  }
  return made;
}

function link(node) {
  let url;
  try {
    url = new URL(node.getAttribute('href') ?? '');
  } catch {
    return null;
  }
  if (!protocols.has(url.protocol)) {
    return null;
  }
  if (url.host === 'matrix.to' && decodeURIComponent(url.hash).startsWith('#/@')) {
    return styled('span', 'mention');
  }
  const made = document.createElement('a');
  made.href = url.href;
  made.target = '_blank';
  made.rel = 'noopener noreferrer nofollow';
  return made;
}

function picture(node, into, image) {
  const address = image(node.getAttribute('src') ?? '');
  const alt = node.getAttribute('alt') || node.getAttribute('title') || 'picture';
  if (!address) {
    into.append(`[${alt}]`);
    return;
  }
  const made = document.createElement('img');
  made.src = address;
  made.alt = alt;
  made.loading = 'lazy';
  if (node.hasAttribute('data-mx-emoticon')) {
    made.className = 'emoticon';
  }
  into.append(made);
}

// code is a block that takes the focus where it scrolls, and so has a name.
function code() {
  const made = document.createElement('pre');
  made.setAttribute('role', 'group');
  made.setAttribute('aria-label', 'Code');
  return made;
}

function styled(tag, className) {
  const made = document.createElement(tag);
  made.className = className;
  return made;
}
