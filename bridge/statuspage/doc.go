// Package statuspage serves the operators' page: what the bridge depends on, what
// is mirrored, what waits and since when, outages and drills, live, with buttons
// for what the bot's commands do.
//
// Whoever may use it is who may give the bot's commands: an administrator asks the
// bot for a link, which opens the page once, in one browser, for some hours. No
// password is made, kept or sent. A link that is opened gives nothing away before
// its button is pressed, so that what looks at links in messages uses up none. Who
// has ceased to be an administrator is out at the next request. Sessions are in
// memory: a restart ends them.
//
// Every other request is refused, whatever its path. A button is a form with a
// token of its session; what it does is given to the bridge as the command that it
// stands for, so that rights, answers and the audit log are the bot's.
//
// The page works without scripts, and stays current with a short one. It loads
// nothing from elsewhere.
//
// What must not live here: what is shown (the bridge makes a View, in words), what
// commands do, and what people write to each other.
package statuspage
