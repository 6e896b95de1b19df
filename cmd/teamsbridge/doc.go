// Command teamsbridge mirrors a Microsoft 365 tenant's Teams channels into
// Matrix rooms, in both directions.
package main
