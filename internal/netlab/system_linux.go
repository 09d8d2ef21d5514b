package netlab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace runs f on a thread that is in the network namespace; sockets and
// devices that f opens belong there, and stay there. f must do so on its own
// goroutine. The thread comes home afterwards: it must not end, as the processes
// that were started from it would end with it.
func inNamespace(name string, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() { _ = home.Close() }()
	err = enter(name)
	if err == nil {
		err = f()
	}
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return fmt.Errorf("leaving network namespace %s: %w", name, back) // still locked: nothing else runs there
	}
	runtime.UnlockOSThread()
	return err
}

func enter(name string) error {
	file, err := os.Open(filepath.Join(namespaceDir, name))
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", name, err)
	}
	return nil
}

// OpenTun makes a tun device in the namespace. It is gone when the file is
// closed.
func OpenTun(namespace, device string) (*os.File, error) {
	var file *os.File
	err := inNamespace(namespace, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		if err := nameTun(fd, device); err != nil {
			_ = unix.Close(fd)
			return err
		}
		file = os.NewFile(uintptr(fd), "tun of "+namespace)
		return nil
	})
	return file, err
}

func nameTun(fd int, device string) error {
	request, err := unix.NewIfreq(device)
	if err != nil {
		return fmt.Errorf("name of tun device %q: %w", device, err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI) // whole IP packets, and nothing before them
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("tun device %s: %w", device, err)
	}
	return nil
}
