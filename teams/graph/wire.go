package graph

import (
	"encoding/json"
	"time"
)

// wireTime reads Graph's times and takes everything else as "not set".
type wireTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *wireTime) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil && at.Year() > 1 {
		t.Time = at.UTC()
	}
	return nil
}
