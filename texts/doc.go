// Package texts is everything that the bridge itself says to people, in the
// languages that it speaks: one catalogue per language, embedded, with the same
// keys in each.
//
// A text has places for what is known only when it is said: {name}. What stands
// between < and > is left out where a place in it has nothing to show, so that
// each language can put it where its grammar wants it. A text that depends on a
// number has a form for one and one for all others.
//
// Names of states, reasons and problems are the same in every language where
// logs, metrics and the database have them: in English, as the English catalogue
// says them. Phrases say them in people's language.
//
// What must not live here: who is told what and when, which reasons there are,
// and the words and the syntax of commands, which are the same in every language.
package texts
