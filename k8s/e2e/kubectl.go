package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// cluster is what kubectl reaches.
type cluster struct {
	kubeconfig string
	root       string // folder of the manifests
	dir        string // for kustomizations
}

// callTime bounds a command that waits for nothing.
const callTime = time.Minute

// openCluster takes the cluster that there is, or brings one up.
func openCluster(ctx context.Context, root, dir string) (*cluster, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	c := &cluster{kubeconfig: os.Getenv("KUBECONFIG"), root: root, dir: dir}
	if c.kubeconfig == "" {
		up := os.Getenv("K8S_UP")
		if up == "" {
			return nil, errors.New("there is no cluster: set KUBECONFIG, or K8S_UP to a program that brings one up")
		}
		printed, err := execute(ctx, nil, nil, up)
		if err != nil {
			return nil, err
		}
		if c.kubeconfig, err = kubeconfigIn(printed); err != nil {
			return nil, err
		}
	}
	_, err = c.kubectl(ctx, "get", "nodes")
	return c, err
}

// kubeconfigIn finds what K8S_UP prints for a shell: export KUBECONFIG=FILE.
func kubeconfigIn(printed string) (string, error) {
	for text := range strings.Lines(printed) {
		if file, ok := strings.CutPrefix(strings.TrimSpace(text), "export KUBECONFIG="); ok && file != "" {
			return file, nil
		}
	}
	return "", fmt.Errorf("K8S_UP prints no line `export KUBECONFIG=FILE`: %s", printed)
}

// loader is the program that loads an image; empty: there is none.
func loader() string {
	if program := os.Getenv("K8S_LOAD"); program != "" {
		return program
	}
	if up := os.Getenv("K8S_UP"); up != "" {
		beside := filepath.Join(filepath.Dir(up), "load-image.sh")
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return ""
}

// kubectl runs a command and gives what it prints.
func (c *cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	return c.with(ctx, nil, args...)
}

func (c *cluster) with(ctx context.Context, input []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return execute(ctx, input, []string{"KUBECONFIG=" + c.kubeconfig}, "kubectl", args...)
}

// patiently is kubectl for what waits.
func (c *cluster) patiently(ctx context.Context, patience time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+callTime)
	defer cancel()
	return execute(ctx, nil, []string{"KUBECONFIG=" + c.kubeconfig}, "kubectl", append(args, fmt.Sprintf("--timeout=%s", patience))...)
}

// execute runs a program. Its error has what it complained of.
func execute(ctx context.Context, input []byte, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.WaitDelay = time.Second
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return out.String(), nil
}

// get reads an object, or a list.
func (c *cluster) get(ctx context.Context, into any, args ...string) error {
	text, err := c.kubectl(ctx, append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

// folder makes a kustomization of a combination.
func (c *cluster) folder(m manifests.Combination, extra string) (string, error) {
	dir, err := os.MkdirTemp(c.dir, "kustomization-")
	if err != nil {
		return "", err
	}
	return dir, m.Write(c.root, dir, extra)
}

// apply applies a combination.
func (c *cluster) apply(ctx context.Context, m manifests.Combination, extra string) error {
	dir, err := c.folder(m, extra)
	if err != nil {
		return err
	}
	_, err = c.kubectl(ctx, "apply", "-k", dir)
	return err
}

// makeNamespace makes a namespace whose pods may do what a Pod Security level allows.
func (c *cluster) makeNamespace(ctx context.Context, name, level string) error {
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{
		"pod-security.kubernetes.io/enforce":%q,"pod-security.kubernetes.io/warn":%q}}}`, name, level, level)
	_, err := c.with(ctx, []byte(text), "apply", "-f", "-")
	return err
}

// rolloutTime bounds the start of a namespace.
const rolloutTime = 4 * time.Minute

// rolledOut waits until all pods of a namespace are as they should be.
func (c *cluster) rolledOut(ctx context.Context, namespace string) error {
	names, err := c.kubectl(ctx, "-n", namespace, "get", "statefulsets,deployments", "-o", "name")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(names) {
		if _, err := c.patiently(ctx, rolloutTime, "-n", namespace, "rollout", "status", name); err != nil {
			return fmt.Errorf("%w\n%s", err, c.troubles(ctx, namespace))
		}
	}
	return nil
}

// troubles says what the pods of a namespace complain of: events, and what those that are not
// ready, and NATS, have logged.
func (c *cluster) troubles(ctx context.Context, namespace string) string {
	pods, _ := c.kubectl(ctx, "-n", namespace, "get", "pods", "-o", "wide")
	events, _ := c.kubectl(ctx, "-n", namespace, "get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp")
	lines := strings.Split(strings.TrimSpace(events), "\n")
	text := pods + strings.Join(lines[max(0, len(lines)-10):], "\n") + "\n"
	for line := range strings.Lines(pods) {
		if f := strings.Fields(line); len(f) > 1 && (f[1] == "0/1" || strings.HasPrefix(f[0], "nats-")) {
			log, _ := c.kubectl(ctx, "-n", namespace, "logs", "--tail=30", f[0])
			text += "--- " + f[0] + "\n" + log
		}
	}
	return text
}

// namespaces are all that a run makes, docs/kubernetes.md among it.
var namespaces = []string{manifests.Alice, manifests.Bob, "peerbus-carol", e2eNamespace}

// e2eNamespace is that of traffic and killer.
const e2eNamespace = "peerbus-e2e"

// clear removes what a run made, and waits until it is gone.
func (c *cluster) clear(ctx context.Context) error {
	args := append([]string{"delete", "namespace", "--ignore-not-found", "--wait"}, namespaces...)
	_, err := c.patiently(ctx, rolloutTime, args...)
	return err
}
