// Package plan is what `teamsbridge plan` prints: what the next look at the
// tenant would do to rooms and people.
//
// What lives here: the steps, their order, and how they are printed for people
// and for programs. What must not live here: finding them, which is done by the
// mirror itself (package bridge) with rooms that only take notes.
package plan
