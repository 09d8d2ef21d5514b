package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peerbus/peerbus/image/oci"
)

const (
	user     = 65532
	patience = time.Minute // bounds waits; it is no verdict on speed
)

// unpack writes the files of the image, with their modes and owners as far as may be.
func unpack(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files := readImage(t, built.archive).files
	for _, name := range []string{"peerbus", "sbom.json", "var", "var/lib", "var/lib/peerbus"} {
		e, path := files[name], filepath.Join(root, name)
		var err error
		if e.header.FileInfo().IsDir() {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, e.content, 0o600)
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(path, e.header.Uid, e.header.Gid)
		}
		if err == nil {
			err = os.Chmod(path, e.header.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// contained gives the program as process 1 of a world that has the image and nothing
// else, with the user and the environment that the image names. Who is not root does it
// in a user namespace.
func contained(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	c := readImage(t, built.archive).config.Config
	cmd := exec.Command(c.Entrypoint[0], append(c.Entrypoint[1:], args...)...)
	cmd.Dir, cmd.Env = c.WorkingDir, c.Env
	if len(cmd.Env) == 0 {
		t.Fatal("the image names no environment")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: user, Gid: user, NoSetGroups: os.Geteuid() != 0},
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

func TestVersionInTheImage(t *testing.T) {
	out, err := contained(t, unpack(t), "version", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var says struct{ Version, Commit, Time string }
	unmarshal(t, out, &says)
	if says.Version != built.version || says.Commit != built.commit || says.Time != commitTime(t).Format(time.RFC3339) {
		t.Errorf("%s", out)
	}
}

// As process 1 the program keeps its state where the image says, ends on SIGTERM as a
// container is stopped, and with status 0.
func TestProcessOneEndsOnSIGTERM(t *testing.T) {
	root := unpack(t)
	cmd := contained(t, root, "msgnode", "--domain", "example.org", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	all := waitFor(log, "message node is ready", func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	if err := cmd.Wait(); err != nil || !strings.Contains(all, "stopped") {
		t.Errorf("%v\n%s", err, all)
	}
	kept, err := os.ReadDir(filepath.Join(root, oci.StateDir, "msgnode"))
	if err != nil || len(kept) == 0 {
		t.Errorf("nothing is kept in %s: %v", oci.StateDir, err)
	}
}

// waitFor reads a log to its end, calls then when a line has a text, and gives all of it.
func waitFor(log io.Reader, text string, then func()) string {
	var all strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		_, _ = all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), text) {
			then()
		}
	}
	return all.String()
}
