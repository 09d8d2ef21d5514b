// Package report is what a run of the bench has found: as a table for people, as JSON,
// as a table for the documentation, and as a plot. It is pure but for Machine.
package report
