// Package monitoring has no code, only tests of the files beside it: that the dashboard
// and the alerts use metrics and labels which the services really serve, and that each
// alert is raised when it should be, and not otherwise. It is a module of its own, so
// that Prometheus is no dependency of peerbus.
package monitoring
