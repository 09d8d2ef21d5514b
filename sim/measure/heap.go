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
)

// liveHeapOf reads the live heap of a node, as the last collection has found it, from
// its metrics.
func liveHeapOf(ctx context.Context, n *local.Node) (float64, error) {
	const next, grows = "go_memstats_next_gc_bytes", "go_gc_gogc_percent"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTPAddr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	found := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name == next || name == grows {
			if found[name], err = strconv.ParseFloat(value, 64); err != nil {
				return 0, err
			}
		}
	}
	if len(found) == 2 {
		return found[next] / (1 + found[grows]/100), nil // the next collection comes when it has grown by so much
	}
	return 0, fault.New(fault.NotFound, "the metrics have no %s or no %s", next, grows)
}
