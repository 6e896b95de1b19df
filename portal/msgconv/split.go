package msgconv

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// price says what the parts of a message may cost and what things cost.
type price struct {
	limit int
	// text is the price of text in an element; rune by rune it adds up.
	text func(s string) int
	// tag is the price of an element without what is in it.
	tag func(n *node) int
}

// measure sets the size of n and all below it.
func (p price) measure(n *node) int {
	n.size = 0
	if n.tag == "" {
		n.size = p.text(n.text)
		if n.mention != nil {
			n.size += n.mention.size
		}
	} else {
		n.size = p.tag(n)
	}
	for _, k := range n.kids {
		n.size += p.measure(k)
	}
	return n.size
}

// split divides a message into trees that each cost no more than the limit:
// between blocks where it can, else between rows, items and lines, else between
// sentences, words and at last characters. Nothing is left out, added or
// moved; elements that are divided are closed and opened again.
func split(root *node, p price) []*node {
	root.size = 0
	for _, k := range root.kids {
		root.size += p.measure(k)
	}
	s := &splitter{p: p}
	s.start()
	for _, k := range root.kids {
		s.add(k)
	}
	s.parts = append(s.parts, s.open[0])
	return s.parts
}

type splitter struct {
	p     price
	parts []*node
	// open are the part's copies of the elements that the source is in, from
	// the part's root on; items counts the list items put into each.
	open  []*node
	items []int
	used  int
	// base is what the part cost when it was started, empty is whether nothing
	// was added since.
	base  int
	empty bool
}

// start begins the next part, inside the same elements as the last one.
func (s *splitter) start() {
	if s.open == nil {
		s.open, s.items, s.empty = []*node{{block: true}}, []int{0}, true
		return
	}
	old := s.open
	s.open = []*node{{block: true}}
	s.used = 0
	for i := 1; i < len(old); i++ {
		s.push(continued(old[i], s.items[i]))
	}
	for i := len(old) - 1; i > 0; i-- {
		if len(old[i].kids) > 0 {
			break
		}
		old[i-1].kids = old[i-1].kids[:len(old[i-1].kids)-1]
	}
	s.base, s.empty = s.used, true
	s.parts = append(s.parts, old[0])
}

// continued returns an empty copy of n for the next part. A numbered list goes
// on with the number of the item that is under way.
func continued(n *node, items int) *node {
	c := &node{tag: n.tag, attrs: n.attrs, block: n.block, blocks: n.blocks, content: n.content}
	if n.tag == "ol" && items > 1 {
		first := 1
		if v, err := strconv.Atoi(n.attr("start")); err == nil {
			first = v
		}
		c.attrs = []attr{{"start", strconv.Itoa(first + items - 1)}}
	}
	return c
}

func (s *splitter) top() *node { return s.open[len(s.open)-1] }

func (s *splitter) push(c *node) {
	t := s.top()
	t.kids = append(t.kids, c)
	s.open = append(s.open, c)
	if len(s.items) < len(s.open) {
		s.items = append(s.items, 0)
	}
	s.used += s.p.tag(c)
}

func (s *splitter) pop() {
	c := s.top()
	s.open = s.open[:len(s.open)-1]
	s.items = s.items[:len(s.open)]
	if len(c.kids) == 0 {
		t := s.top()
		t.kids = t.kids[:len(t.kids)-1]
		s.used -= s.p.tag(c)
	}
}

func (s *splitter) put(n *node, size int) {
	t := s.top()
	t.kids = append(t.kids, n)
	s.used += size
	s.empty = false
}

func (s *splitter) add(n *node) {
	if n.tag == "li" {
		s.items[len(s.items)-1]++
	}
	switch {
	case s.used+n.size <= s.p.limit:
		s.put(n, n.size)
	case n.tag == "" && n.mention == nil:
		s.addText(n.text)
	case len(n.kids) == 0 || n.mention != nil:
		if !s.empty {
			s.start()
		}
		s.put(n, n.size)
	default:
		s.addElement(n)
	}
}

func (s *splitter) addElement(n *node) {
	whole := s.around()+n.size <= s.p.limit
	if n.block && whole && s.used > s.p.limit/3 && !s.empty {
		s.start()
		s.put(n, n.size)
		return
	}
	if !s.empty && s.used+s.p.tag(n)+s.p.limit/20 > s.p.limit {
		s.start()
	}
	s.push(continued(n, 0))
	for _, k := range n.kids {
		s.add(k)
	}
	s.pop()
}

// around is what the elements cost that a part started now would be inside.
func (s *splitter) around() int {
	size := 0
	for _, n := range s.open[1:] {
		size += s.p.tag(n)
	}
	return size
}

func (s *splitter) addText(text string) {
	for text != "" {
		fits := s.fitting(text, s.p.limit-s.used)
		if fits == len(text) {
			s.put(&node{text: text, content: true}, s.p.text(text))
			return
		}
		cut := goodCut(text, fits)
		if cut == 0 {
			if !s.empty {
				s.start()
				continue
			}
			cut = hardCut(text, fits)
		}
		s.put(&node{text: text[:cut], content: true}, s.p.text(text[:cut]))
		text = text[cut:]
		s.start()
	}
}

// fitting returns the length of the longest beginning of text for that price.
func (s *splitter) fitting(text string, room int) int {
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRuneInString(text[i:])
		if room -= s.p.text(text[i : i+n]); room < 0 {
			return i
		}
		i += n
	}
	return len(text)
}

// goodCut returns the best place at or before fits to divide text: behind a
// line, behind a sentence, behind a word, or 0 if there is none.
func goodCut(text string, fits int) int {
	half := fits / 2
	if i := strings.LastIndexByte(text[half:fits], '\n'); i >= 0 {
		return half + i + 1
	}
	word, sentence := 0, 0
	for i := fits; i > 0; {
		r, n := utf8.DecodeLastRuneInString(text[:i])
		if unicode.IsSpace(r) && r != '\u00a0' {
			if word == 0 {
				word = i
			}
			if i < half {
				break
			}
			if prev, _ := utf8.DecodeLastRuneInString(text[:i-n]); strings.ContainsRune(".!?…:;", prev) {
				sentence = i
				break
			}
		} else if strings.ContainsRune("。！？", r) && i >= half {
			sentence = i
			break
		}
		i -= n
	}
	if sentence > 0 {
		return sentence
	}
	return word
}

// hardCut returns a place at or before fits that does not divide a character
// from what belongs to it, such as accents and joined emoji. It is never 0.
func hardCut(text string, fits int) int {
	_, first := utf8.DecodeRuneInString(text)
	if fits < first {
		return first
	}
	cut := fits
	for steps := 0; steps < 16 && cut > first; steps++ {
		next, _ := utf8.DecodeRuneInString(text[cut:])
		prev, n := utf8.DecodeLastRuneInString(text[:cut])
		if !joins(next) && prev != '\u200d' {
			return cut
		}
		cut -= n
	}
	return fits
}

func joins(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) || r == '\u200d' || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0xe0020 && r <= 0xe007f
}
