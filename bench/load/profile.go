package load

import (
	"context"
	"os"
	"runtime/pprof"
	"time"

	"github.com/peerbus/peerbus/internal/run"
)

// DoProfile has a worker write a CPU profile of itself: Profile →.
const DoProfile = "profile"

// Profile says where to, and how long.
type Profile struct {
	File  string
	Lasts time.Duration
}

func profile(ctx context.Context, p Profile) (any, error) {
	file, err := os.Create(p.File)
	if err != nil {
		return nil, err
	}
	if err = pprof.StartCPUProfile(file); err == nil {
		err = run.Sleep(ctx, p.Lasts)
		pprof.StopCPUProfile()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	return nil, err
}
