package bridge

import (
	"context"
	"time"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/texts"
)

// What /healthz, /readyz and the subcommand health say of the bridge.
const (
	// statusOK: everything that the bridge depends on works, as far as is known.
	statusOK = "ok"
	// statusDegraded: what people say is accepted and kept, and some of it does
	// not get through for now.
	statusDegraded = "degraded"
	// statusDown: nothing can be accepted.
	statusDown = "down"
)

// What an instance is.
const (
	// roleStandby: another instance has the database.
	roleStandby = "standby"
	// roleStarting: it has the database, and the homeserver has not answered yet.
	roleStarting = "starting"
	// roleActive: it works.
	roleActive = "active"
)

// databaseTimeout is how long the database may take until it counts as away. It
// is below the time that Kubernetes gives a probe in the shipped manifests.
const databaseTimeout = 2 * time.Second

// condition is what is to be said of the bridge in one word, and why.
type condition struct {
	Status string `json:"status"`
	Role   string `json:"role"`
	// Reasons is empty where the status is ok.
	Reasons []conditionReason `json:"reasons"`
}

// conditionReason is one thing that is not as it should be. It names what, in
// which state, since when and why, and nobody's name or words.
type conditionReason struct {
	What  string     `json:"what"`
	State string     `json:"state"`
	Cause string     `json:"cause,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	Text  string     `json:"text"`
}

func (v *condition) add(status string, reason conditionReason) {
	if v.Status != statusDown {
		v.Status = status
	}
	v.Reasons = append(v.Reasons, reason)
}

// standbyCondition is said while another instance has the database.
func standbyCondition() condition {
	return condition{Status: statusOK, Role: roleStandby, Reasons: []conditionReason{{
		What: "instance", State: roleStandby, Text: "another instance has the database, this one takes over when that ends",
	}}}
}

// condition looks at everything that the bridge depends on.
func (r *runtime) condition(ctx context.Context) condition {
	v := condition{Status: statusOK, Role: roleActive, Reasons: []conditionReason{}}
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	if _, err := r.db.Journal.Count(ctx); err != nil {
		v.add(statusDown, conditionReason{What: "database", State: vitals.Down.String(), Text: "it does not answer, so nothing is accepted"})
	}
	if !r.running.Load() {
		v.Role = roleStarting
		v.add(statusDegraded, conditionReason{What: string(vitals.Homeserver), State: roleStarting, Text: "it has not answered yet"})
	}
	for _, d := range r.health.monitor.Status() {
		if d.State != vitals.Degraded && d.State != vitals.Down && d.State != vitals.Recovering {
			continue
		}
		reason := conditionReason{What: string(d.Dependency), State: d.State.String(), Cause: string(d.Cause), Text: causeSentence(texts.Texts{}, d.Cause, d.Detail)}
		if !d.Since.IsZero() {
			reason.Since = &d.Since
		}
		v.add(statusDegraded, reason)
	}
	for _, o := range r.outages.underWay() {
		if o.Kind == database.OutageDeclared {
			v.add(statusDegraded, conditionReason{What: "outage", State: o.Kind, Since: &o.Began, Text: "an administrator has declared an outage"})
		}
	}
	return v
}
