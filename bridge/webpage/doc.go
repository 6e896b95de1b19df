// Package webpage is what the bridge's own web pages (bridge/weblogin,
// bridge/statuspage) have in common: where they are reached, the secret words of
// links and cookies, the tokens of forms, and the headers that keep other sites out.
//
// What must not live here: what a page shows or does, and who may see it.
package webpage
