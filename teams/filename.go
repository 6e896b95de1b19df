package teams

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFileName is the longest name that is asked for, in bytes; the whole path
// may have 400 characters.
const maxFileName = 180

// isEdge reports whether a name must neither begin nor end with it.
func isEdge(r rune) bool { return r == '.' || unicode.IsSpace(r) }

// FileName makes a name that SharePoint takes: without the characters that it
// refuses, and none of the names that it keeps for itself.
func FileName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || r < 0x20 || r == 0x7f:
			return -1
		case badInPath(r) || r == '#' || r == '%':
			return '_'
		}
		return r
	}, name)
	// What one takes away may bring forth what another one does.
	for before := ""; name != before; {
		before = name
		name = strings.TrimFunc(name, isEdge)
		name = strings.ReplaceAll(strings.TrimPrefix(name, "~$"), "_vti_", "vti")
	}
	if ext := path.Ext(name); len(name) > maxFileName {
		if len(ext) > 20 {
			ext = ""
		}
		name = name[:maxFileName-len(ext)]
		for !utf8.ValidString(name) {
			name = name[:len(name)-1]
		}
		name = strings.TrimRightFunc(name, isEdge) + ext
	}
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	base = strings.TrimSpace(base)
	device := len(base) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")) && base[3] >= '0' && base[3] <= '9'
	switch {
	case name == "":
		return "file"
	case device, base == "CON", base == "PRN", base == "AUX", base == "NUL", base == "LOCK", strings.EqualFold(name, "desktop.ini"), strings.EqualFold(name, "forms"):
		return "file " + name
	}
	return name
}
