package teamstest

// demoPeople are invented. Each line is a name and a job; the order decides
// who belongs to which team.
func demoPeople() []string {
	return []string{
		"Helena Brandt, Managing director",
		"Marcus Oyelaran, Head of operations",
		"Priya Raman, Head of engineering",
		"Jonas Lindqvist, Software architect",
		"Mei Tanaka, Senior developer",
		"Oluwaseun Bello, Site reliability engineer",
		"Carla Moretti, Developer",
		"Dmitri Volkov, Developer",
		"Anneke de Vries, Test engineer",
		"Rahul Deshmukh, Developer",
		"Sofia Herrera, Product manager",
		"Liam Gallagher-Shaw, Designer",
		"Yara Haddad, Data engineer",
		"Petr Novotný, Developer",
		"Grace Mwangi, Release manager",
		"Elias Grönroos, Security engineer",
		"Tomasz Kowalczyk, Head of customer care",
		"Freya Sørensen, Support specialist",
		"Noor Rahimi, Support specialist",
		"Gabriel Santos, Support specialist",
		"Chloé Dubois, Support specialist",
		"Hamza Yilmaz, Shift lead",
		"Ingrid Haugen, Shift lead",
		"Kwame Asante, Technical writer",
		"Lucía Fernández, Trainer",
		"Viktor Horvat, Field technician",
		"Aoife Byrne, People and culture",
		"Samuel Adeyemi, Finance",
		"Nadia Popescu, Office manager",
		"Robin Kestrel, guest",
	}
}

// demoTalk is one thread: a post and its replies.
type demoTalk struct {
	place   string
	daysAgo int
	lines   []demoLine
}

// demoLine is one message. Mentions and reactions name people by first name.
type demoLine struct {
	who                 string
	text, html          string
	subject, importance string
	mentions            string
	reactions           string
	edited              string
	file                string
	chart               []int
	deleted             bool
}

func demoTalks() []demoTalk {
	return []demoTalk{
		{"company/General", 13, []demoLine{
			{who: "Helena", subject: "Welcome, Robin and Viktor", html: `<p>Please welcome <strong>Viktor</strong>, who joins the field team today. Robin from our partner will work with Customer Care until summer.</p>`, reactions: "👋 Aoife Priya Tomasz Nadia 🎉 Marcus Freya Kwame"},
			{who: "Viktor", text: "Thank you! Looking forward to meeting everyone on Thursday.", reactions: "❤️ Aoife Helena"},
			{who: "Nadia", text: "Your badge is at the front desk, Viktor."},
		}},
		{"company/General", 9, []demoLine{
			{who: "Marcus", subject: "Network maintenance on Saturday", importance: "high", mentions: "channel", html: `<p><at id="0">General</at> the network in building B is down on Saturday from 06:00 to 09:00. Phones and door locks are <em>not</em> affected.</p>`, reactions: "👍 Nadia Samuel Tomasz"},
			{who: "Hamza", text: "Does the support desk move to building A for the early shift?"},
			{who: "Marcus", text: "Yes, desks A12 to A18 are reserved.", edited: "<p>Yes, desks A12 to <strong>A20</strong> are reserved.</p>", reactions: "👍 Hamza Ingrid"},
		}},
		{"company/General", 2, []demoLine{
			{who: "Aoife", html: `<p>Reminder: the survey closes on Friday. It takes five minutes: <a href="https://survey.contoso.example/spring">survey.contoso.example/spring</a></p>`},
			{who: "Samuel", text: "Done. Number 7 made me think."},
			{who: "Aoife", text: "That was the idea :)", reactions: "😆 Samuel Nadia"},
		}},
		{"company/Lunch", 6, []demoLine{
			{who: "Liam", text: "Noodles at half past twelve? I can book for eight."},
			{who: "Carla", text: "In!", reactions: "👍 Liam"},
			{who: "Rahul", text: "Me too, but vegetarian please."},
			{who: "Liam", html: `<p>Booked:</p><ul><li>12:30, Jade Garden</li><li>table by the window</li><li>two vegetarian menus</li></ul>`, reactions: "🎉 Carla Rahul Mei"},
		}},
		{"company/Lunch", 0, []demoLine{
			{who: "Yara", text: "There is soup left in the kitchen, first come first served."},
			{who: "Dmitri", text: "Was that the last bowl?", deleted: true},
			{who: "Anneke", text: "Gone in four minutes. A record.", reactions: "😆 Yara Dmitri Petr"},
		}},
		{"company/Board", 8, []demoLine{
			{who: "Helena", subject: "Agenda for the 14th", html: `<p>Three points:</p><ol><li>Budget for the second half</li><li>Standby for Teams: are we ready?</li><li>Office lease</li></ol>`, reactions: "👍 Marcus Priya"},
			{who: "Priya", text: "For the second point I will bring the numbers of the last drill."},
			{who: "Tomasz", mentions: "Priya", html: `<p>Good. <at id="0">Priya Raman</at>, could you add how long the desk was without chat? People ask me.</p>`},
		}},
		{"eng/General", 11, []demoLine{
			{who: "Priya", html: `<p>We freeze the main branch on <strong>Wednesday at noon</strong>. What is not merged by then goes into the next release.</p>`, reactions: "👀 Mei Carla Dmitri Rahul"},
			{who: "Mei", text: "The importer is in review. It should make it."},
			{who: "Jonas", text: "I have two comments left, both small."},
			{who: "Mei", text: "Both fixed.", reactions: "💯 Jonas"},
		}},
		{"eng/General", 4, []demoLine{
			{who: "Yara", html: `<p>Query times after the new index, in milliseconds:</p><p><img src="../hostedContents/chart.png/$value" alt="bar chart" width="320" height="160"></p>`, chart: []int{420, 395, 410, 120, 85, 78, 81}, reactions: "🎉 Priya Oluwaseun Mei ❤️ Jonas"},
			{who: "Oluwaseun", text: "The drop is on the day of the deploy. Nice."},
			{who: "Jonas", html: `<p>Which index was it? This one?</p><codeblock class="Sql"><code>CREATE INDEX orders_by_customer<br>&nbsp;&nbsp;ON orders (customer_id, created_at DESC);</code></codeblock>`},
			{who: "Yara", text: "Yes, that one. It also made the nightly report twice as fast."},
		}},
		{"eng/Releases", 7, []demoLine{
			{who: "Grace", subject: "Release 4.12", html: `<p>Plan for 4.12:</p><table><tbody><tr><td><strong>Step</strong></td><td><strong>Who</strong></td><td><strong>When</strong></td></tr><tr><td>Freeze</td><td>Grace</td><td>Wednesday 12:00</td></tr><tr><td>Tests</td><td>Anneke</td><td>Thursday</td></tr><tr><td>Roll-out</td><td>Oluwaseun</td><td>Monday 07:00</td></tr></tbody></table>`, reactions: "👍 Anneke Oluwaseun"},
			{who: "Anneke", text: "Test report is up.", file: "release-4.12-tests.xlsx"},
			{who: "Sofia", mentions: "Grace", html: `<p><at id="0">Grace Mwangi</at> can the new search stay behind its switch until Tuesday?</p>`},
			{who: "Grace", text: "Yes, off by default."},
			{who: "Oluwaseun", text: "Rolled out to all regions at 07:41. No alarms.", reactions: "🎉 Grace Priya Sofia Anneke 💯 Mei"},
		}},
		{"eng/Incidents", 5, []demoLine{
			{who: "Oluwaseun", subject: "INC-311: slow sign-in", importance: "urgent", html: `<p>Sign-in takes up to 20 seconds since 09:12. Looking at the identity cache.</p>`, reactions: "👀 Priya Elias"},
			{who: "Elias", html: `<p>The log is full of this:</p><pre><code>cache: get "session:8f1c": i/o timeout (3s)
cache: marking node-2 as down</code></pre>`},
			{who: "Oluwaseun", text: "node-2 ran out of memory. Restarting it now."},
			{who: "Sofia", text: "Customers confirm that it is better."},
			{who: "Oluwaseun", html: `<p>Back to normal at 09:47. Report follows.</p>`, edited: `<p>Back to normal at <strong>09:49</strong>. Report follows.</p>`, reactions: "❤️ Sofia Grace 👍 Priya"},
		}},
		{"eng/Architecture", 10, []demoLine{
			{who: "Jonas", html: `<p>Draft: one queue per customer instead of one for all. For:</p><ul><li>one slow customer no longer holds up the rest</li><li>limits are easy</li></ul><p>Against: <em>many</em> small queues.</p>`},
			{who: "Mei", html: `<blockquote>many small queues</blockquote><p>How many is many? Below ten thousand I would not worry.</p>`, reactions: "👍 Jonas"},
			{who: "Oluwaseun", text: "6,200 today. Fine with me if there is one graph for all of them."},
		}},
		{"care/General", 12, []demoLine{
			{who: "Tomasz", html: `<p>Numbers of last week: <strong>1,204</strong> tickets, median answer 11 minutes. Thank you all!</p>`, reactions: "🎉 Freya Noor Gabriel Chloé Hamza Ingrid"},
			{who: "Robin", text: "Impressive. How do you count reopened tickets?"},
			{who: "Chloé", text: "As new ones, but they keep the first clock."},
		}},
		{"care/General", 1, []demoLine{
			{who: "Lucía", html: `<p>Training on the new search: Thursday 15:00, room 2.14 &amp; online. The slides are attached.</p>`, file: "new-search.pptx"},
			{who: "Gabriel", text: "I can not make it. Will it be recorded?"},
			{who: "Lucía", text: "It will.", reactions: "👍 Gabriel Kwame"},
		}},
		{"care/Shifts", 3, []demoLine{
			{who: "Ingrid", html: `<p>Next week:</p><table><tbody><tr><td></td><td>Early</td><td>Late</td></tr><tr><td>Mon</td><td>Freya</td><td>Noor</td></tr><tr><td>Tue</td><td>Gabriel</td><td>Chloé</td></tr><tr><td>Wed</td><td>Noor</td><td>Freya</td></tr></tbody></table>`},
			{who: "Noor", mentions: "Freya", html: `<p><at id="0">Freya Sørensen</at> could we swap Wednesday?</p>`},
			{who: "Freya", text: "Sure.", reactions: "❤️ Noor"},
		}},
		{"care/Escalations", 5, []demoLine{
			{who: "Gabriel", subject: "Ticket 88213", html: `<p>Customer can not export since the release. Steps:</p><ol><li>open <code>Reports</code></li><li>choose <em>last quarter</em></li><li>press Export: nothing happens</li></ol>`, reactions: "👀 Carla"},
			{who: "Carla", text: "Reproduced. The date filter sends an empty zone."},
			{who: "Carla", html: `<p>Fixed in 4.12.1:</p><codeblock class="Go"><code>if zone == "" {<br>&nbsp;&nbsp;&nbsp;&nbsp;zone = "UTC"<br>}</code></codeblock>`, reactions: "🎉 Gabriel Tomasz"},
			{who: "Gabriel", text: "The customer says thank you."},
		}},
		{"care/Escalations", 0, []demoLine{
			{who: "Noor", text: "Ticket 88340: printing labels fails in the Lisbon store only. Any idea?"},
			{who: "Dmitri", text: "Which printer model?"},
			{who: "Noor", text: "The old one, GX-40."},
		}},
	}
}
