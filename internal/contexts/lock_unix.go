//go:build unix

package contexts

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// Who changes the file holds a lock beside it: the file itself is replaced.
const (
	lockTime  = 5 * time.Second // for others that change it to end: more than a write takes
	lockPause = 5 * time.Millisecond
)

// lock waits until nobody else changes the file. The system ends a lock with its
// process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockTime); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			_ = f.Close()
			return nil, err
		case time.Now().After(end):
			_ = f.Close()
			return nil, fault.New(fault.Unavailable, "%s is held by another program for longer than %s", f.Name(), lockTime)
		}
	}
}
