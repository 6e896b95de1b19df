package msgconv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"teamsbridge/texts"
)

// spokenCases are cases of the golden files in which the bridge itself speaks.
var spokenCases = map[string][]string{
	"tomatrix": {
		"card_adaptive_actions", "card_adaptive_inputs", "card_receipt", "card_unknown", "empty", "file_problem", "image_failed", "loop", "meeting",
		"quote_forwarded", "snippet_failed", "subject_important", "tab", "poll",
		"system_app_installed", "system_call_ended", "system_call_started", "system_channel_added", "system_channel_description", "system_meeting_ended",
		"system_members_added", "system_members_joined", "system_members_many", "system_recording", "system_role", "system_team_renamed", "system_unknown",
	},
	"toteams": {
		"audio_voice", "file", "file_problem", "html_spoiler", "html_spoiler_reason", "image_link", "location", "poll_multiple", "poll_voted", "poll_secret", "poll_ended", "relay_late",
	},
}

// TestLanguagesGolden shows the cases in every language side by side: one file
// for each case, with a section for each language. English is what the golden
// files of both directions say.
func TestLanguagesGolden(t *testing.T) {
	for dir, names := range spokenCases {
		for _, name := range names {
			t.Run(dir+"/"+name, func(t *testing.T) {
				t.Parallel()
				files := map[string]string{}
				ar, err := txtar.ParseFile(filepath.Join("testdata", dir, name+".txtar"))
				require.NoError(t, err)
				for _, f := range ar.Files {
					files[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
				}
				out := &txtar.Archive{Comment: ar.Comment}
				seen := map[string]bool{}
				for _, language := range texts.Languages() {
					x, err := texts.For(language, nil)
					require.NoError(t, err)
					got := inLanguage(t, dir, files, x)
					require.False(t, seen[got], "the bridge says nothing here")
					seen[got] = true
					out.Files = append(out.Files, txtar.File{Name: language, Data: []byte(got)})
					if language == texts.English && dir == "tomatrix" {
						require.Equal(t, files["want"], strings.TrimSuffix(got, "\n"))
					}
				}
				compareLanguages(t, filepath.Join("testdata", "languages", dir+"_"+name+".txtar"), out)
			})
		}
	}
}

func inLanguage(t *testing.T, dir string, files map[string]string, x texts.Texts) string {
	if dir == "tomatrix" {
		m, env := matrixCase(t, files)
		env.Texts = x
		r := ToMatrix(m, env)
		checkRendered(t, r)
		return showRendered(r)
	}
	c, env := teamsCase(t, x, files)
	env.Texts = x
	drafts, err := ToTeams(c, env)
	require.NoError(t, err)
	var b strings.Builder
	for _, d := range drafts {
		checkDraft(t, d)
		showText(&b, "html", d.HTML)
	}
	return b.String()
}

func compareLanguages(t *testing.T, path string, got *txtar.Archive) {
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, txtar.Format(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(txtar.Format(got)))
}

// Digests in every language.
func TestDigestLanguages(t *testing.T) {
	from := time.Date(2026, 11, 20, 10, 2, 0, 0, time.UTC)
	got := &txtar.Archive{Comment: []byte("What a digest says around the messages.\n")}
	for _, language := range texts.Languages() {
		x, err := texts.For(language, nil)
		require.NoError(t, err)
		var b strings.Builder
		for _, why := range []texts.Key{texts.WhileUnavailable, texts.WhileRehearsed, texts.WhileHeld, texts.WhileSlow} {
			for _, n := range []int{1, 57} {
				fmt.Fprintln(&b, DigestHead(x, why, from, from.Add(time.Hour), n))
				fmt.Fprintln(&b, DigestNotice(x, why, from, from.Add(26*time.Hour), n))
			}
		}
		fmt.Fprintln(&b, DigestEntry(x, "", true, nil))
		fmt.Fprintln(&b, DigestTooLong(x, "https://matrix.to/#/!r/$e"))
		got.Files = append(got.Files, txtar.File{Name: language, Data: []byte(b.String())})
	}
	compareLanguages(t, filepath.Join("testdata", "languages", "digest.txtar"), got)
}
