package msgconv

import (
	"fmt"
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// ordinaryHTML is a message as people write them, of the given size.
func ordinaryHTML(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		block := "<p>Yes, <b>tomorrow</b> at ten works for me.</p>"
		switch i % 8 {
		case 1:
			block = `<p>Please have a look at <a href="https://example.org/plan?id=7&amp;v=2">the plan</a>, there are some changes in the second part that we should talk about before the meeting.</p>`
		case 3:
			block = "<ul><li>budget &amp; dates</li><li>who does <i>what</i></li></ul>"
		case 5:
			block = `<pre><code class="language-go">if err != nil {` + "\n\treturn err\n}" + `</code></pre>`
		case 7:
			block = "<blockquote><p>What do you think?</p></blockquote>"
		}
		if b.Len() > 0 && b.Len()+len(block) > size {
			break
		}
		b.WriteString(block)
	}
	return b.String()
}

func benchSizes(b *testing.B, run func(b *testing.B, src string)) {
	for _, size := range []int{100, 1_000, 10_000} {
		src := ordinaryHTML(size)
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(src)))
			run(b, src)
		})
	}
}

func BenchmarkToMatrix(b *testing.B) {
	benchSizes(b, func(b *testing.B, src string) {
		m := teams.Message{ID: "1", BodyType: teams.BodyHTML, Body: src}
		env := MatrixEnv{People: staff{}}
		for b.Loop() {
			ToMatrix(m, env)
		}
	})
}

func BenchmarkToTeams(b *testing.B) {
	benchSizes(b, func(b *testing.B, src string) {
		c := &event.MessageEventContent{MsgType: event.MsgText, Format: event.FormatHTML, FormattedBody: src}
		env := TeamsEnv{People: staff{}, Author: &Author{Name: "Ana"}}
		for b.Loop() {
			if _, err := ToTeams(c, env); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	benchSizes(b, func(b *testing.B, src string) {
		for b.Loop() {
			Fingerprint(src)
		}
	})
}
