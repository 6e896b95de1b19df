package msgconv

import "strings"

// checkbox shows the box of a task list.
func (t *toTeams) checkbox(n *node) {
	switch {
	case !strings.EqualFold(n.attr("type"), "checkbox"):
	case hasAttr(n.attrs, "checked"):
		t.out.text(textTaskDone)
	default:
		t.out.text(textTaskOpen)
	}
}

// maths shows the source of a formula whose element has no text to stand in for
// it, and reports whether it did.
func (t *toTeams) maths(n *node) bool {
	source := cleanLine(n.attr("data-mx-maths"))
	if source == "" || !isBlank(textContent(n)) {
		return false
	}
	if n.block {
		t.out.open("p")
	}
	t.out.element("code", source)
	if n.block {
		t.out.close("p")
	}
	return true
}

// mapLink returns where a place can be seen on a map.
func mapLink(lat, lon string) string {
	return "https://www.openstreetmap.org/?mlat=" + lat + "&mlon=" + lon + "#map=16/" + lat + "/" + lon
}
