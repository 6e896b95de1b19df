// Package graph adapts Microsoft's Graph SDK to the interfaces of package
// teams: Client reads and subscribes with the application's credential, Writer
// writes with a person's.
//
// It is the only package that may import the SDK, which compiles for minutes.
// From the SDK come the URLs (request builders), the request bodies (models)
// and the sending with its authentication; answers are decoded by package
// teams from the raw bytes, because the SDK's models drop enum values that
// they don't know. Limits, retries, deadlines and typed errors are the HTTP
// client's (teams.NewHTTPClient), and none of the SDK's own middleware is
// used: it would repeat writes and compress bodies.
package graph
