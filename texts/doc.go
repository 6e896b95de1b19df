// Package texts is everything that the bridge itself says to people, in the
// languages that it speaks: one catalogue per language, embedded, with the same
// keys in each.
//
// A text has places for what is known only when it is said: {name}. What stands
// between < and > is left out where a place in it has nothing to show, so that
// each language can put it where its grammar wants it. A text that depends on a
// number has a form for one and one for all others.
//
// What must not live here: who is told what and when, markup, and names of
// states and reasons that logs, metrics and the database use, which are the same
// in every language. What administrators are told (status, reports, the
// operations room) is in English, and stands where it is said.
package texts
