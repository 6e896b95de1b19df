// Package teams speaks Microsoft Graph v1.0: sign-in, the HTTP stack with its
// limits, reading and writing messages and files, change notifications, and the readers
// that catch up. It hands plain structs to the rest of the bridge.
//
// What must not live here: anything of Matrix, anything of our database (what
// has to be durable is asked for through small interfaces), and the Graph SDK,
// which only the sub-package graph imports because it compiles for minutes.
//
// Graph is authoritative for everything in this package: a notification is a
// hint, what Graph lists is the truth.
package teams
