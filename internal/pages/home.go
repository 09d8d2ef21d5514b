//go:build unix

package pages

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// home is where a newcomer sits: a copy of the repository with bin/peerbus, and a
// home directory with nothing in it.
type home struct {
	clone, dir string
	env        []string
}

// newHome makes one below dir.
func newHome(repository, binary, dir string) (home, error) {
	h := home{clone: filepath.Join(dir, "peerbus"), dir: filepath.Join(dir, "home")}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return h, err
	}
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = repository
	names, err := list.Output()
	if err != nil {
		return h, fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(repository, name), filepath.Join(h.clone, name)); err != nil && !os.IsNotExist(err) {
			return h, err // what does not exist is deleted, and not yet committed so
		}
	}
	if err := copyFile(binary, filepath.Join(h.clone, "bin", "peerbus")); err != nil {
		return h, err
	}
	h.env, err = environment(h.dir)
	return h, err
}

// environment is what a shell starts with. Go keeps its caches, so that a build does
// not begin from nothing; kubectl reaches the cluster that there is.
func environment(dir string) ([]string, error) {
	env := []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TERM=dumb"}
	if cluster := os.Getenv("KUBECONFIG"); cluster != "" {
		env = append(env, "KUBECONFIG="+cluster)
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return nil, fmt.Errorf("go env: %w", err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return env, nil
}

// command makes a command that runs there, in a process group of its own.
func (h home) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = h.clone, h.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", from, fs.ErrInvalid)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}
