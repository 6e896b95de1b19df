// Package msgconv turns a message of one side into a message of the other:
// a Teams message into Matrix event contents, a Matrix event content into
// Teams drafts. Its functions are pure: the same input gives the same output,
// there is no I/O, no clock and no state; who is who is asked for through the
// People interface, and what has to be fetched (pictures, code) is listed by
// Images, Emoticons and Snippets and handed in by the caller.
//
// What must not live here: fetching or uploading media, Graph requests, the
// database, delivery. What a bridge user reads in the bridge's own words
// comes as a value of package texts, in whose catalogues it stands and nowhere
// else. What becomes of each kind of content is in docs/content.md, held against
// the cases in testdata, some of them in every language.
//
// All HTML goes one way: tokens -> builder -> tree -> builder -> tree ->
// text. The builder is the only place that decides how elements may nest, so
// that whatever comes out of it reads back as the same tree. The second lock on
// the door is a strict look at what was written: what is not of the one form
// that the renderer writes goes through bluemonday's allow-list. Everything is
// linear in the size of the input, which other people control.
//
// Cards are JSON out of messages, read without any trust in their types. A
// cardWriter writes them into the same builder, within limits of elements,
// depth and text; what does not fit, and what works in Teams only, is named
// with a link to the message.
package msgconv
