package report

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// versionTime bounds how long a program takes to say what it is.
const versionTime = 10 * time.Second

// Program is what was measured. A report of before it was told has none, and a program
// may not know its commit.
type Program struct {
	Version string `json:"version,omitempty"`
	Commit  string `json:"commit,omitempty"`
}

// ProgramOf asks a peerbus program.
func ProgramOf(ctx context.Context, binary string) (p Program, err error) {
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	path, err := filepath.Abs(binary)
	if err != nil {
		return p, err
	}
	out, err := exec.CommandContext(ctx, path, "version", "-o", "json").Output()
	if err == nil {
		err = json.Unmarshal(out, &p)
	}
	if err != nil {
		return p, fault.New(fault.BadRequest, "bin: %s does not say its version: %w", binary, err).In("bin")
	}
	return p, nil
}

// String is empty where nothing is known.
func (p Program) String() string {
	switch {
	case p.Version == "":
		return ""
	case p.Commit == "":
		return "peerbus " + p.Version
	default:
		return "peerbus " + p.Version + ", commit " + p.Commit
	}
}
