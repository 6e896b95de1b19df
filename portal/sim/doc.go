// Package sim runs the bridge in virtual time.
package sim
