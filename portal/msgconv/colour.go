package msgconv

import (
	"fmt"
	"strconv"
	"strings"
)

// colours are what a run of text is written in and on, each as "#rrggbb" or
// empty. Black, white and greys are left to the reader's theme, dark or light;
// on a background that is kept the text is black or white instead.
type colours struct{ text, back string }

func coloursOf(text, back string) colours {
	c := colours{text: parseColour(text), back: parseColour(back)}
	if isGrey(c.back) {
		c.back = ""
	}
	if isGrey(c.text) {
		c.text = ""
	}
	if c.back != "" && c.text == "" {
		c.text = "#ffffff"
		if r, g, b := rgb(c.back); 299*r+587*g+114*b > 128_000 {
			c.text = "#000000"
		}
	}
	return c
}

// coloursOfStyle reads them from a style attribute.
func coloursOfStyle(style string) colours {
	if len(style) > maxAttr {
		return colours{}
	}
	text, back := "", ""
	for declaration := range strings.SplitSeq(style, ";") {
		key, val, _ := strings.Cut(declaration, ":")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "color":
			text = val
		case "background-color", "background":
			back = val
		}
	}
	return coloursOf(text, back)
}

// style writes them as a style attribute, empty where there are none.
func (c colours) style() string {
	var parts []string
	if c.text != "" {
		parts = append(parts, "color:"+c.text)
	}
	if c.back != "" {
		parts = append(parts, "background-color:"+c.back)
	}
	return strings.Join(parts, ";")
}

// isStyle reports whether a style attribute is of the one form that we write.
func isStyle(s string) bool { return s != "" && coloursOfStyle(s).style() == s }

// isColour reports whether a colour is of the one form that we write.
func isColour(s string) bool { return len(s) == 7 && parseColour(s) == s }

// parseColour reads a colour as HTML and CSS write it, or returns nothing.
func parseColour(s string) string {
	if len(s) > 40 {
		return ""
	}
	s = strings.ToLower(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "!important")))
	if hex, ok := strings.CutPrefix(s, "#"); ok {
		if len(hex) == 3 {
			hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
		}
		if len(hex) != 6 || strings.Trim(hex, "0123456789abcdef") != "" {
			return ""
		}
		return "#" + hex
	}
	if list, ok := strings.CutPrefix(strings.Replace(s, "rgba(", "rgb(", 1), "rgb("); ok {
		return parseRGB(strings.TrimSuffix(list, ")"))
	}
	return namedColours[s]
}

// parseRGB reads the numbers of a colour; one that can hardly be seen is none.
func parseRGB(list string) string {
	parts := strings.Split(list, ",")
	if len(parts) < 3 || len(parts) > 4 {
		return ""
	}
	var v [3]int
	for i := range v {
		n, err := strconv.Atoi(strings.TrimSpace(parts[i]))
		if err != nil || n < 0 || n > 255 {
			return ""
		}
		v[i] = n
	}
	if len(parts) == 4 {
		if alpha, err := strconv.ParseFloat(strings.TrimSpace(parts[3]), 64); err != nil || !(alpha >= 0.5) {
			return ""
		}
	}
	return fmt.Sprintf("#%02x%02x%02x", v[0], v[1], v[2])
}

// rgb takes a colour that was parsed apart.
func rgb(colour string) (r, g, b int) {
	v, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		return 0, 0, 0
	}
	return int(v >> 16), int(v >> 8 & 0xff), int(v & 0xff)
}

// isGrey reports whether a colour has next to no colour in it.
func isGrey(colour string) bool {
	r, g, b := rgb(colour)
	return colour != "" && max(r, g, b)-min(r, g, b) < 32
}

// namedColours are the names that people use; the values are CSS's.
var namedColours = map[string]string{
	"aqua": "#00ffff", "black": "#000000", "blue": "#0000ff", "brown": "#a52a2a", "crimson": "#dc143c", "cyan": "#00ffff",
	"darkblue": "#00008b", "darkgreen": "#006400", "darkorange": "#ff8c00", "darkred": "#8b0000", "fuchsia": "#ff00ff", "gold": "#ffd700",
	"gray": "#808080", "green": "#008000", "grey": "#808080", "indigo": "#4b0082", "lightblue": "#add8e6", "lightgreen": "#90ee90",
	"lime": "#00ff00", "magenta": "#ff00ff", "maroon": "#800000", "navy": "#000080", "olive": "#808000", "orange": "#ffa500",
	"pink": "#ffc0cb", "purple": "#800080", "red": "#ff0000", "silver": "#c0c0c0", "teal": "#008080", "tomato": "#ff6347",
	"turquoise": "#40e0d0", "violet": "#ee82ee", "white": "#ffffff", "yellow": "#ffff00",
}

// coloured is what is written in the colours of an element of Matrix.
func (t *toTeams) coloured(n *node) {
	style := coloursOf(firstOf(n.attr("data-mx-color"), n.attr("color")), n.attr("data-mx-bg-color")).style()
	if style == "" || t.out.isOpen("code") {
		t.kids(n)
		return
	}
	t.out.open("span", attr{"style", style})
	t.kids(n)
	t.out.close("span")
}

// coloured is what is written in the colours of an element of Teams.
func (t *toMatrix) coloured(n *node) {
	c := coloursOfStyle(n.attr("style"))
	var attrs []attr
	if c.text != "" {
		attrs = append(attrs, attr{"data-mx-color", c.text})
	}
	if c.back != "" {
		attrs = append(attrs, attr{"data-mx-bg-color", c.back})
	}
	if len(attrs) == 0 || t.out.isOpen("code") {
		t.kids(n)
		return
	}
	t.out.open("span", attrs...)
	t.kids(n)
	t.out.close("span")
}
