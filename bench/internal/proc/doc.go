// Package proc reads what processes of this machine use: CPU time to the nanosecond,
// by their CPU-time clock (clock_getcpuclockid(3), which /proc/PID/stat has to 10 ms
// only), and memory by /proc/PID/status. Linux.
package proc
