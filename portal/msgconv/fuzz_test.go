package msgconv

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzSanitize(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, clean := range []func(string) string{SanitizeMatrix, SanitizeTeams} {
			once := clean(src)
			require.Equal(t, once, clean(once))
		}
	})
}
