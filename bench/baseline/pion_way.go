package baseline

import (
	"context"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
)

// Pion is the way over a data channel of raw pion, from one process to another.
func Pion(ctx context.Context) (*drive.Way, error) { return pionWay(ctx, false) }

// AnsweringPion is Pion whose other end sends back what comes.
func AnsweringPion(ctx context.Context) (*drive.Way, error) { return pionWay(ctx, true) }

func pionWay(ctx context.Context, answers bool) (*drive.Way, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	w, err := way(ctx, start{PionRole, PionConfig{Answers: answers}}, start{PionRole, PionConfig{}})
	if err != nil {
		return nil, err
	}
	if err := introduce(ctx, w.From, w.To); err != nil {
		_ = w.Close()
		return nil, err
	}
	return w, nil
}

// introduce has two peers connect.
func introduce(ctx context.Context, from, to *worker.Process) error {
	var offer, answer string
	if err := from.Call(ctx, DoOffer, nil, &offer); err != nil {
		return err
	}
	if err := to.Call(ctx, DoAnswer, offer, &answer); err != nil {
		return err
	}
	if err := from.Call(ctx, DoAccept, answer, nil); err != nil {
		return err
	}
	for _, p := range []*worker.Process{from, to} {
		if err := p.Call(ctx, DoOpen, nil, nil); err != nil {
			return err
		}
	}
	return nil
}
