package teamstest

import (
	"maps"
	"slices"
	"time"
)

// event is what a system message tells. Fields are set as its kind needs.
type event struct {
	kind      string // membersAdded, channelRenamed, …
	initiator *User
	members   []*User
	fields    []eventField
	// visibleHistory adds the field that membersAdded alone has.
	visibleHistory bool
}

type eventField struct {
	name  string
	value any
}

// wire renders the event's detail. Names of people are null, as Graph writes
// them there.
func (e *event) wire(_ *Tenant) any {
	detail := orderedObject{{"@odata.type", "#microsoft.graph." + e.kind + "EventMessageDetail"}}
	if e.visibleHistory {
		detail = append(detail, eventField{"visibleHistoryStartDateTime", "0001-01-01T00:00:00Z"})
	}
	if e.members != nil {
		members := []wireIdentity{}
		for _, u := range e.members {
			members = append(members, *u.eventIdentity())
		}
		detail = append(detail, eventField{"members", members})
	}
	detail = append(detail, e.fields...)
	var initiator *wireIdentitySet
	if e.initiator != nil {
		initiator = &wireIdentitySet{User: e.initiator.eventIdentity()}
	}
	return append(detail, eventField{"initiator", initiator})
}

func (u *User) eventIdentity() *wireIdentity {
	return &wireIdentity{ODataType: typeUserIdentity, ID: u.ID, UserType: "aadUser", TenantID: u.t.TenantID}
}

// orderedObject is a JSON object whose keys keep their order.
type orderedObject []eventField

// MarshalJSON writes the object.
func (o orderedObject) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, f := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, mustJSON(f.name)...)
		out = append(out, ':')
		out = append(out, mustJSON(f.value)...)
	}
	return append(out, '}'), nil
}

// tell posts a system message about e in the channel. The tenant's lock is
// held.
func (c *Channel) tell(e event) { c.tellAt(time.Time{}, e) }

func (c *Channel) tellAt(at time.Time, e event) {
	if c.t.opts.NoSystemEvents {
		return
	}
	c.createEvent(at, e)
}

func (c *Channel) createEvent(at time.Time, e event) *Message {
	return c.createMessage(nil, at, func(m *Message) draft {
		m.event = &e
		return draft{importance: "normal", contentType: "html", content: "<systemEventMessage/>"}
	})
}

// PostEvent posts a system message of any kind, such as callStarted, with the
// kind's own fields. by may be nil for an event that names no initiator.
func (c *Channel) PostEvent(kind string, by *User, fields map[string]any) *Message {
	e := event{kind: kind, initiator: by}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		e.fields = append(e.fields, eventField{name, fields[name]})
	}
	c.t.mu.Lock()
	defer c.t.unlock()
	return c.createEvent(time.Time{}, e)
}
