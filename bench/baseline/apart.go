package baseline

import (
	"context"
	"errors"

	"github.com/peerbus/peerbus/bench/apart"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
)

// SetUps is a side that sets up connections of pion at its defaults between the machines
// of a pair. Close ends it.
func SetUps(ctx context.Context, pair *apart.Pair, number int) (side drive.SetUps, end func() error, err error) {
	const port = ":7600"
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	far, err := worker.Start(ctx, PionSetUpRole, PionSetUpConfig{Listen: apart.FarIP + port}, pair.Far.Inside()...)
	if err != nil {
		return side, nil, err
	}
	near, err := worker.Start(ctx, PionSetUpRole, PionSetUpConfig{Dial: apart.FarIP + port}, pair.Near.Inside()...)
	if err != nil {
		return side, nil, errors.Join(err, far.Close())
	}
	end = func() error { return errors.Join(near.Close(), far.Close()) }
	return drive.SetUps{Worker: near, PIDs: []int{near.PID(), far.PID()}, Number: number}, end, nil
}
