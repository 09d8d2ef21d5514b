package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// workload is a Deployment or a StatefulSet of a namespace.
type workload struct{ namespace, kind, name string }

func (w workload) String() string { return w.namespace + " " + w.name }

// scaled has traffic between two runtimes with replicas, and meanwhile kills pods of
// every kind, replaces all of them, and scales what can be scaled.
func (t *test) scaled(ctx context.Context) (string, error) {
	alice, bob, err := t.startScaled(ctx)
	if err != nil {
		return "", err
	}
	if err := mainJob(ctx, alice, bob, direct); err != nil {
		return "", err
	}
	if err := t.startTraffic(ctx); err != nil {
		return "", err
	}
	all, err := t.workloads(ctx)
	if err != nil {
		return "", err
	}
	for _, phase := range []struct {
		name string
		do   func(context.Context, []workload) error
	}{{"kill", t.kill}, {"replace", t.replace}, {"scale", t.scale}} {
		began := time.Now()
		if err := phase.do(ctx, all); err != nil {
			return "", t.withTraffic(ctx, fmt.Errorf("%s: %w", phase.name, err))
		}
		if err := t.flows(ctx); err != nil {
			return "", t.withTraffic(ctx, fmt.Errorf("after %s: %w", phase.name, err))
		}
		t.row("  "+phase.name, "", time.Since(began))
	}
	if err := t.autoscalers(ctx); err != nil {
		return "", err
	}
	return t.verdict(ctx)
}

// startScaled applies both runtimes. NATS comes first only in so far as the others wait
// for it.
func (t *test) startScaled(ctx context.Context) (alice, bob runtime, err error) {
	return t.start(ctx,
		manifests.Combination{Overlay: "scaled", Namespace: manifests.Alice},
		manifests.Combination{Overlay: "scaled-runtime", Namespace: manifests.Bob})
}

// startTraffic starts traffic and killer, and waits until messages come directly.
func (t *test) startTraffic(ctx context.Context) error {
	if err := t.makeNamespace(ctx, e2eNamespace, "privileged"); err != nil {
		return err
	}
	for name, args := range map[string][]string{"traffic": {"traffic"}, "killer": {"wait"}} {
		if _, err := t.with(ctx, podOf(name, name == "killer", args), "apply", "-f", "-"); err != nil {
			return err
		}
	}
	if _, err := t.patiently(ctx, time.Minute, "-n", e2eNamespace, "wait", "--for=condition=Ready", "pod", "--all"); err != nil {
		return err
	}
	return t.flows(ctx)
}

// podOf is a pod of this program.
func podOf(name string, privileged bool, args []string) []byte {
	security := map[string]any{"runAsUser": 65532, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true}
	if privileged {
		security = map[string]any{"privileged": true, "runAsUser": 0}
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": name, "namespace": e2eNamespace},
		"spec": map[string]any{
			"restartPolicy": "Never", "hostPID": privileged, "enableServiceLinks": false, "automountServiceAccountToken": false,
			"terminationGracePeriodSeconds": 1,
			"containers": []any{map[string]any{
				"name": name, "image": e2eImage, "imagePullPolicy": "IfNotPresent", "args": args, "securityContext": security,
			}},
		},
	})
	if err != nil {
		panic(err) // maps and strings can be written
	}
	return text
}

// traffic reads the newest report.
func (t *test) traffic(ctx context.Context) (line, error) {
	log, err := t.kubectl(ctx, "-n", e2eNamespace, "logs", "traffic", "--tail=50")
	if err != nil {
		return line{}, err
	}
	return lastLine(log)
}

// complaints of the traffic, which are printed beside its reports.
func (t *test) complaints(ctx context.Context) {
	log, err := t.kubectl(ctx, "-n", e2eNamespace, "logs", "traffic")
	if err != nil {
		return
	}
	for text := range strings.SplitSeq(log, "\n") {
		if strings.Contains(text, " waited ") || strings.Contains(text, "refused after") {
			t.say("traffic: %s", text)
		}
	}
}

// flowTime is how long traffic may take to be direct after all that was done to it.
const flowTime = 2 * time.Minute

// flows waits until a thousand messages in a row have come, nearly all of them directly:
// the runtimes have a connection again.
func (t *test) flows(ctx context.Context) error {
	var from line
	return await(ctx, flowTime, func(ctx context.Context) error {
		now, err := t.traffic(ctx)
		if err != nil {
			return err
		}
		came, direct := now.Handed-from.Handed, now.Direct-from.Direct
		if came < 1000 {
			return fmt.Errorf("%d messages have come, %+v", came, now)
		}
		if from.Handed > 0 && direct >= came*99/100 {
			return nil
		}
		from = now
		return fmt.Errorf("%d of %d messages came directly", direct, came)
	})
}

func (t *test) withTraffic(ctx context.Context, err error) error {
	now, problem := t.traffic(ctx)
	return fmt.Errorf("%w; traffic: %+v %v", err, now, problem)
}

// workloads are all of both namespaces.
func (t *test) workloads(ctx context.Context) ([]workload, error) {
	var all []workload
	for _, namespace := range []string{manifests.Alice, manifests.Bob} {
		names, err := t.kubectl(ctx, "-n", namespace, "get", "deployments,statefulsets", "-o", "name")
		if err != nil {
			return nil, err
		}
		for _, name := range strings.Fields(names) {
			kind, name, _ := strings.Cut(name, "/")
			all = append(all, workload{namespace, kind, name})
		}
	}
	return all, nil
}

// killPause is the time between two kills: some find the one before not healed yet.
const killPause = 5 * time.Second

// kill ends one pod of each kind, in random order, and then random ones; in turn without
// grace at the API server, and its process by SIGKILL.
func (t *test) kill(ctx context.Context, all []workload) error {
	random := rand.New(rand.NewPCG(t.seed, 0))
	order := slices.Clone(all)
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	end := time.Now().Add(t.churn)
	kills := 0
	for ; kills < len(order) || time.Now().Before(end); kills++ {
		w := order[kills%len(order)]
		if kills >= len(order) {
			w = all[random.IntN(len(all))]
		}
		if err := t.killOne(ctx, w, kills%2 == 0, random); err != nil {
			return err
		}
		if err := pause(ctx, killPause); err != nil {
			return err
		}
	}
	t.say("%d pods were killed", kills)
	return t.allRolledOut(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killOne ends a pod of a workload that runs.
func (t *test) killOne(ctx context.Context, w workload, process bool, random *rand.Rand) error {
	var list struct {
		Items []struct {
			Metadata struct{ Name, UID string }
			Status   struct{ Phase string }
		}
	}
	if err := t.get(ctx, &list, "pods", "-n", w.namespace, "-l", selector(w)); err != nil {
		return err
	}
	pods := slices.DeleteFunc(list.Items, func(p struct {
		Metadata struct{ Name, UID string }
		Status   struct{ Phase string }
	}) bool {
		return p.Status.Phase != "Running"
	})
	if len(pods) == 0 {
		t.say("%s has no pod that runs", w)
		return nil
	}
	p := pods[random.IntN(len(pods))]
	if process {
		t.say("SIGKILL %s", p.Metadata.Name)
		_, err := t.kubectl(ctx, "-n", e2eNamespace, "exec", "killer", "--", "/e2e", "kill", p.Metadata.UID)
		return err
	}
	t.say("delete %s", p.Metadata.Name)
	_, err := t.kubectl(ctx, "-n", w.namespace, "delete", "pod", p.Metadata.Name, "--grace-period=0", "--force", "--wait=false")
	return err
}

func selector(w workload) string {
	if w.name == "nats" {
		return "app.kubernetes.io/name=nats"
	}
	return "app.kubernetes.io/name=peerbus,app.kubernetes.io/component=" + w.name
}

// replace is a rolling update of everything, all at once.
func (t *test) replace(ctx context.Context, all []workload) error {
	for _, w := range all {
		if _, err := t.kubectl(ctx, "-n", w.namespace, "rollout", "restart", w.kind+"/"+w.name); err != nil {
			return err
		}
	}
	return t.allRolledOut(ctx)
}

func (t *test) allRolledOut(ctx context.Context) error {
	return errors.Join(t.rolledOut(ctx, manifests.Alice), t.rolledOut(ctx, manifests.Bob))
}

// scale gives each Deployment one more replica, then one less than it had, then what it
// had. Those with an autoscaler are scaled by its bounds. A nodestub stays one.
func (t *test) scale(ctx context.Context, all []workload) error {
	for _, delta := range []int{1, -1, 0} {
		for _, w := range all {
			if w.name == "nodestub" || w.name == "nats" {
				continue
			}
			if err := t.scaleOne(ctx, w, replicas+delta); err != nil {
				return err
			}
		}
		for _, w := range all {
			if w.name == "nodestub" || w.name == "nats" {
				continue
			}
			if err := t.hasReplicas(ctx, w, replicas+delta); err != nil {
				return err
			}
		}
	}
	return nil
}

// replicas is how many the overlays have of each.
const replicas = 2

func (t *test) scaleOne(ctx context.Context, w workload, n int) error {
	bounds := fmt.Sprintf(`{"spec":{"minReplicas":%d,"maxReplicas":%d}}`, n, n)
	if _, err := t.kubectl(ctx, "-n", w.namespace, "get", "hpa", w.name); err == nil {
		_, err := t.kubectl(ctx, "-n", w.namespace, "patch", "hpa", w.name, "--type=merge", "-p", bounds)
		return err
	}
	_, err := t.kubectl(ctx, "-n", w.namespace, "scale", w.kind+"/"+w.name, fmt.Sprintf("--replicas=%d", n))
	return err
}

func (t *test) hasReplicas(ctx context.Context, w workload, n int) error {
	return await(ctx, rolloutTime, func(ctx context.Context) error {
		var d struct {
			Status struct{ Replicas, ReadyReplicas int }
		}
		if err := t.get(ctx, &d, "-n", w.namespace, w.kind+"/"+w.name); err != nil {
			return err
		}
		if d.Status.Replicas != n || d.Status.ReadyReplicas != n {
			return fmt.Errorf("%s has %d replicas, %d of them ready, not %d", w, d.Status.Replicas, d.Status.ReadyReplicas, n)
		}
		return nil
	})
}

// autoscalers are such that the cluster can act on them.
func (t *test) autoscalers(ctx context.Context) error {
	var list struct {
		Items []struct {
			Metadata struct{ Namespace, Name string }
			Status   struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
	}
	if err := t.get(ctx, &list, "hpa", "-A", "-l", "app.kubernetes.io/part-of=peerbus"); err != nil {
		return err
	}
	for _, h := range list.Items {
		for _, c := range h.Status.Conditions {
			if c.Type == "AbleToScale" && c.Status != "True" {
				return fmt.Errorf("autoscaler %s of %s: %s", h.Metadata.Name, h.Metadata.Namespace, c.Message)
			}
		}
	}
	return nil
}

// verdict ends the traffic, and says what became of it.
func (t *test) verdict(ctx context.Context) (string, error) {
	if _, err := t.kubectl(ctx, "-n", e2eNamespace, "exec", "traffic", "--", "/e2e", "finish"); err != nil {
		return "", err
	}
	var end line
	err := await(ctx, 2*drainTime, func(ctx context.Context) error {
		now, err := t.traffic(ctx)
		if err != nil {
			return err
		}
		if !now.Final {
			return fmt.Errorf("traffic goes on: %+v", now)
		}
		end = now
		return nil
	})
	if err != nil {
		return "", err
	}
	result := fmt.Sprintf("%d messages, %d of them direct: %d lost, %d doubled, %d reordered, %d damaged; longest pause %.1f s",
		end.Accepted, end.Direct, end.Lost, end.Doubled, end.Reordered, end.Damaged, end.Pause)
	if len(end.Refused) > 0 {
		result += fmt.Sprintf("; refused %v", end.Refused)
	}
	t.complaints(ctx)
	t.say("%s", result)
	if end.Lost+end.Doubled+end.Reordered+end.Damaged > 0 {
		return "", errors.New(result)
	}
	return result, nil
}
