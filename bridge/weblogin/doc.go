// Package weblogin is the sign-in with a browser: the pages behind the link that
// the bot hands out, the way to Microsoft's sign-in service, and the way back.
//
// What lives here: tickets (who asked, until when, and what became of it), the
// browser that took one up, and the pages. What must not live here: the protocol
// towards the sign-in service (package teams), and whether a Microsoft account may
// be linked to a Matrix account, which the one who begins a ticket decides.
//
// # What is trusted, and why
//
//	the link     48 random hexadecimal digits, good for ten minutes and one
//	             sign-in. Opening it binds nothing, because chat programs and
//	             mail filters open links; pressing its page's button does.
//	the page     names the Matrix account, so that a person who was handed
//	             somebody else's link sees whose account they are about to link.
//	the browser  a random cookie that scripts can't read and that other sites'
//	             forms don't carry. The button's browser is the ticket's: no
//	             other one gets further, and none brings its answer back.
//	the button   needs the cookie and a token that is made of it, so that no
//	             other page presses it.
//	the state    random, of one visit of one ticket in one browser, taken once.
//	             A newer visit makes the older one's worthless.
//	the code     is redeemed once, with the proof key of the same visit and the
//	             application's own proof; the id token must have the visit's nonce
//	             and be for this application, tenant and account (package teams).
//
// A stolen state is worth nothing without the cookie, and an answer that comes to
// another browser ends its visit, so that it is worth nothing later: the person
// presses the button again. A stolen code is worth nothing
// without the proof key, and a code that was slipped to somebody else's browser
// does not fit that one's proof key.
//
// Tickets are in memory only. After a restart a link says that it is not good any
// more, and the person asks for another. What a ticket brings is stored by the
// one who began it before the page says that it is done.
package weblogin
