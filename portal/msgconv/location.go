package msgconv

import (
	"encoding/json"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/texts"
)

// place is a location as MSC3488 writes it.
type place struct {
	URI         string `json:"uri"`
	Description string `json:"description"`
}

// placed is what a message says of its place, in either spelling.
type placed struct {
	Stable   place `json:"m.location"`
	Unstable place `json:"org.matrix.msc3488.location"`
}

func (p placed) fill(c *event.MessageEventContent) {
	if c == nil || c.MsgType != event.MsgLocation {
		return
	}
	uri, description := firstOf(p.Stable.URI, p.Unstable.URI), firstOf(p.Stable.Description, p.Unstable.Description)
	old := c.GeoURI
	if _, _, ok := coordinates(old); !ok && uri != "" {
		c.GeoURI = uri
	}
	// What clients put into the body themselves has the address in it.
	if body := strings.TrimSpace(c.Body); description != "" && (body == "" || uri != "" && strings.Contains(body, uri) || old != "" && strings.Contains(body, old)) {
		c.Body = description
	}
}

// ReadLocation takes over what a location says beside the fields that every
// client knows: its address and its name (MSC3488, both spellings).
func ReadLocation(c *event.MessageEventContent, raw []byte) {
	if c.MsgType != event.MsgLocation && (c.NewContent == nil || c.NewContent.MsgType != event.MsgLocation) {
		return
	}
	var p struct {
		placed
		New placed `json:"m.new_content"`
	}
	if json.Unmarshal(raw, &p) != nil {
		return // fields of another type than they should have say nothing
	}
	p.fill(c)
	p.New.fill(c.NewContent)
}

func (t *toTeams) location() {
	t.out.open("p")
	t.out.text(t.env.Texts.Say(texts.Location))
	if name := cleanName(t.c.Body); name != "" {
		t.out.text(textColon(t.env.Texts) + name)
	}
	if lat, lon, ok := coordinates(t.c.GeoURI); ok {
		t.out.text(" (")
		t.out.element("a", lat+", "+lon, attr{"href", mapLink(lat, lon)})
		t.out.text(")")
	}
	if href, ok := cleanHref(t.env.Link, false); ok {
		t.out.text(" (")
		t.out.element("a", t.env.Texts.Say(texts.OpenInMatrix), attr{"href", href})
		t.out.text(")")
	}
	t.out.close("p")
}

// coordinates reads a geo: URI (RFC 5870): latitude, longitude and perhaps a
// height, with parameters behind them. One of another reference system has none
// that a map could show.
func coordinates(uri string) (lat, lon string, ok bool) {
	uri = strings.TrimSpace(uri)
	if len(uri) < 4 || len(uri) > maxAttr || !strings.EqualFold(uri[:4], "geo:") {
		return "", "", false
	}
	rest, _, _ := strings.Cut(uri[4:], "?")
	rest, params, _ := strings.Cut(rest, ";")
	for param := range strings.SplitSeq(params, ";") {
		if key, system, _ := strings.Cut(param, "="); strings.EqualFold(key, "crs") && !strings.EqualFold(system, "wgs84") {
			return "", "", false
		}
	}
	parts := strings.Split(rest, ",")
	if len(parts) < 2 || len(parts) > 3 {
		return "", "", false
	}
	for i, most := range []float64{90, 180} {
		if strings.Trim(parts[i], "0123456789.+-") != "" {
			return "", "", false
		}
		v, err := strconv.ParseFloat(parts[i], 64)
		if err != nil || !(v >= -most && v <= most) {
			return "", "", false
		}
		// Adding nothing makes 0 of -0.
		parts[i] = strconv.FormatFloat(v+0, 'f', -1, 64)
	}
	return parts[0], parts[1], true
}
