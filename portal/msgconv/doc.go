// Package msgconv turns a message of one side into a message of the other:
// a Teams message into Matrix event contents, a Matrix event content into
// Teams drafts. Its functions are pure: the same input gives the same output,
// there is no I/O, no clock and no state; who is who is asked for through the
// People interface, and pictures are handed in by the caller.
//
// What must not live here: fetching or uploading media, Graph requests, the
// database, delivery. What a bridge user reads in the bridge's own words
// stands in text.go and text_cards.go, nowhere else.
//
// All HTML goes one way: tokens -> builder -> tree -> builder -> tree ->
// text. The builder is the only place that decides how elements may nest, so
// that whatever comes out of it reads back as the same tree; a bluemonday
// allow-list is the second lock on the door. Everything is linear in the size
// of the input, which other people control.
package msgconv
