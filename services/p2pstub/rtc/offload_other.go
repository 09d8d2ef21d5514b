//go:build !linux

package rtc

import "net"

const controlSize = 1

func joinsDatagrams(*net.UDPConn) bool { return false }

func cutsDatagrams(*net.UDPConn) bool { return false }

func joinedSize([]byte) int { return 0 }

func cutInto([]byte, int) []byte { return nil }
