package teamstest

import (
	"math/rand/v2"
	"strings"
	"time"
)

// Demo is the organisation that SeedDemo makes.
type Demo struct {
	// People are everybody, the guest last.
	People []*User
	// Guest belongs to another organisation.
	Guest *User
	// Company, Engineering and Care are the three teams.
	Company, Engineering, Care *Team
}

// SeedDemo fills the tenant with a small organisation: thirty people, three
// teams with standard, private and shared channels, and two weeks of talk up
// to now. The same seed gives the same organisation; only times follow the
// clock.
func (t *Tenant) SeedDemo() *Demo {
	d := &seeder{t: t, rng: rand.New(rand.NewPCG(t.opts.Seed, 1)), now: t.clock.Now().Truncate(time.Minute), byName: map[string]*User{}}
	d.people()
	d.teams()
	for _, talk := range demoTalks() {
		d.talk(talk)
	}
	return &d.demo
}

// seeder makes the demo's organisation.
type seeder struct {
	t      *Tenant
	rng    *rand.Rand
	now    time.Time
	demo   Demo
	byName map[string]*User // by first name
	places map[string]*Channel
}

func (d *seeder) people() {
	for i, line := range demoPeople() {
		name, title, _ := strings.Cut(line, ", ")
		guest := title == "guest"
		u := d.t.AddUser(UserSpec{DisplayName: name, JobTitle: title, Guest: guest})
		switch {
		case guest:
			d.demo.Guest = u
		case i%4 == 0:
			u.SetPhoto(JPEG(Avatar(name, 96)), "image/jpeg")
		case i%4 == 1:
			u.SetPhoto(PNG(Avatar(name, 96)), "image/png")
		}
		first, _, _ := strings.Cut(name, " ")
		d.byName[first] = u
		d.demo.People = append(d.demo.People, u)
	}
}

// named returns people by their first names.
func (d *seeder) named(names string) []*User {
	var users []*User
	for name := range strings.FieldsSeq(names) {
		u := d.byName[name]
		if u == nil {
			panic("teamstest: the demo has no " + name)
		}
		users = append(users, u)
	}
	return users
}

func (d *seeder) teams() {
	founded := d.now.AddDate(0, -6, 0)
	people := d.demo.People
	staff := people[:len(people)-1]
	d.demo.Company = d.t.AddTeam(TeamSpec{
		DisplayName: "Company", Description: "Everybody at Contoso", Visibility: "public",
		Owners: d.named("Helena Marcus"), Members: staff, At: founded,
	})
	d.demo.Engineering = d.t.AddTeam(TeamSpec{
		DisplayName: "Engineering", Description: "Product development and operations",
		Owners: d.named("Priya"), Members: staff[2:16], At: founded.Add(time.Hour),
	})
	d.demo.Care = d.t.AddTeam(TeamSpec{
		DisplayName: "Customer Care", Description: "Support desk, shifts and escalations",
		Owners: d.named("Tomasz"), Members: append(people[16:26:26], d.demo.Guest), At: founded.Add(2 * time.Hour),
	})
	for _, team := range []*Team{d.demo.Company, d.demo.Engineering, d.demo.Care} {
		team.SetPhoto(PNG(Avatar(team.DisplayName(), 96)), "image/png")
	}
	d.places = map[string]*Channel{
		"company/General": d.demo.Company.General(), "eng/General": d.demo.Engineering.General(), "care/General": d.demo.Care.General(),
	}
	add := func(key string, team *Team, spec ChannelSpec) {
		spec.At = founded.Add(time.Duration(len(d.places)) * 24 * time.Hour)
		_, spec.DisplayName, _ = strings.Cut(key, "/")
		d.places[key] = team.AddChannel(spec)
	}
	add("company/Lunch", d.demo.Company, ChannelSpec{Description: "Where and when", By: d.byName["Marcus"]})
	add("company/Board", d.demo.Company, ChannelSpec{Kind: Private, Owners: d.named("Helena"), Members: d.named("Marcus Priya Tomasz")})
	add("eng/Releases", d.demo.Engineering, ChannelSpec{Description: "What ships when", By: d.byName["Priya"]})
	add("eng/Incidents", d.demo.Engineering, ChannelSpec{Description: "One thread per incident", By: d.byName["Priya"]})
	add("eng/Architecture", d.demo.Engineering, ChannelSpec{Kind: Private, Owners: d.named("Priya"), Members: d.named("Jonas Mei Oluwaseun")})
	add("care/Shifts", d.demo.Care, ChannelSpec{Description: "Who is on when", By: d.byName["Tomasz"]})
	add("care/Escalations", d.demo.Care, ChannelSpec{
		Kind: Shared, Owners: d.named("Tomasz"), Members: d.named("Freya Noor Gabriel"), SharedWith: []*Team{d.demo.Engineering},
	})
}

// talk plays one conversation. Lines follow each other by minutes.
func (d *seeder) talk(talk demoTalk) {
	place := d.places[talk.place]
	at := d.now.AddDate(0, 0, -talk.daysAgo).Add(-time.Duration(60+d.rng.IntN(240)) * time.Minute)
	var root *Message
	for _, line := range talk.lines {
		author := d.named(line.who)[0]
		msg := Msg{HTML: line.html, Text: line.text, Subject: line.subject, Importance: line.importance, At: at}
		for _, name := range strings.Fields(line.mentions) {
			if name == "channel" {
				msg.Mentions = append(msg.Mentions, Mention{Channel: place})
				continue
			}
			msg.Mentions = append(msg.Mentions, Mention{User: d.byName[name]})
		}
		if line.chart != nil {
			msg.Images = []Image{{Name: "chart.png", ContentType: "image/png", Data: PNG(Chart(line.chart, 320, 160))}}
		}
		if line.file != "" {
			msg.Attachments = []Attachment{{
				ID: d.t.ids.guid(), ContentType: "reference", Name: line.file,
				ContentURL: "https://contoso.sharepoint.com/sites/team/Shared%20Documents/" + line.file,
			}}
		}
		var m *Message
		if root == nil {
			m = place.Post(author, msg)
			root = m
		} else {
			m = root.Reply(author, msg)
		}
		if line.edited != "" {
			m.Edit(Msg{HTML: line.edited, Subject: line.subject, At: at.Add(90 * time.Second)})
		}
		d.reactions(m, line.reactions, at)
		if line.deleted {
			m.Delete()
		}
		at = at.Add(time.Duration(40+d.rng.IntN(900)) * time.Second)
	}
}

// reactions plays "👍 Ann Bob 🎉 Eve".
func (d *seeder) reactions(m *Message, script string, at time.Time) {
	emoji := ""
	for word := range strings.FieldsSeq(script) {
		u := d.byName[word]
		if u == nil {
			emoji = word
			continue
		}
		at = at.Add(20 * time.Second)
		d.t.mu.Lock()
		m.react(u, reaction{kind: emoji, name: reactionName(emoji), at: at})
		d.t.unlock()
	}
}
