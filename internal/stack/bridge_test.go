package stack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMergeSettings(t *testing.T) {
	config := map[string]any{"a": map[string]any{"x": 1, "y": 2}, "list": []any{1, 2}, "whole": map[string]any{"old": true}}
	merge(config, map[string]any{
		"a":     map[string]any{"y": 3, "new": Whole{"k": "v"}},
		"list":  []string{"only"},
		"whole": Whole{"new": true},
		"b":     map[string]any{"deep": Whole{"k": "v"}},
	})
	require.Equal(t, map[string]any{
		"a":     map[string]any{"x": 1, "y": 3, "new": map[string]any{"k": "v"}},
		"list":  []string{"only"},
		"whole": map[string]any{"new": true},
		"b":     map[string]any{"deep": map[string]any{"k": "v"}},
	}, config)
}
