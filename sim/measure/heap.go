package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/run"
)

// liveHeapOf reads the live heap of a node, as the last collection has found it, from
// its metrics.
func liveHeapOf(ctx context.Context, n *local.Node) (float64, error) {
	const name = "go_memstats_next_gc_bytes"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTPAddr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			next, err := strconv.ParseFloat(value, 64)
			return next/2 - run.HeapFloor, err // GOGC is 100: the next one comes at twice of it
		}
	}
	return 0, fault.New(fault.NotFound, "the metrics have no %s", name)
}
